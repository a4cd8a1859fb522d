# A node with a gateway: models on the processor, no root, nothing installed that is not in the lock file.
# torch has no hash there because it comes in several builds. This image is for the small one, without CUDA; on x86-64
# name the index of PyTorch's CPU builds:  docker build --build-arg PIP_EXTRA_INDEX_URL=... -t waggle .
# The gateway listens inside the container; compose.yaml shows one that can be reached from outside, which asks for a key.
FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /src
RUN python -m venv /opt/waggle
COPY requirements.lock ./
RUN /opt/waggle/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock \
 && /opt/waggle/bin/pip install --no-cache-dir torch==2.13.0
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/waggle/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/waggle/bin/python -c "import torch; assert torch.version.cuda is None, 'this torch is the CUDA build: name the index of the CPU builds'"

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 bee && install -d -o bee -g bee /home/bee/.waggle
COPY --from=build /opt/waggle /opt/waggle
ENV PATH=/opt/waggle/bin:$PATH WAGGLE_HOME=/home/bee/.waggle PYTHONUNBUFFERED=1
USER 1000
VOLUME /home/bee/.waggle
EXPOSE 4001/tcp 4001/udp 8080/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
ENTRYPOINT ["waggle"]
CMD ["join", "--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1", "--gateway-port", "8080"]
