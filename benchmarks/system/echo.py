"""The least that FastAPI can do: take a small body, check it, give it back.

python -m benchmarks.system.echo PORT
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from shared.service.collector import calm_collector


class Wish(BaseModel):
    """What a cart's line is asked for with."""

    line_id: str
    sku: str
    quantity: int


app = FastAPI()


@app.get("/livez")
async def livez() -> dict[str, str]:
    """It is there."""
    return {"status": "alive"}


@app.post("/echo", status_code=201)
async def echo(wish: Wish) -> Wish:
    """The same again."""
    return wish


if __name__ == "__main__":
    calm_collector()  # as services do
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="off",
    )
