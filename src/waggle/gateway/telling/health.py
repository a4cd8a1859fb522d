"""GET /health/live and /health/ready: for whoever starts, stops and watches the gateway. They say nothing else."""

from fastapi import APIRouter, Request, Response

from waggle.node.services.service import Service

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "live"}


@router.get("/ready", responses={503: {"description": "No model can be asked now"}})
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Tell whether questions can be answered: some node has a model whose engine works."""
    service: Service = request.app.state.service
    if any(model.usable for model in service.models()):
        return {"status": "ready"}
    response.status_code = 503
    return {"status": "no model can be asked now"}
