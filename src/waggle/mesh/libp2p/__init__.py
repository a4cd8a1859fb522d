"""The `Transport` over real networks: libp2p, spoken by a daemon (go-libp2p) that every node runs beside itself."""
