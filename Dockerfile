# One image for every process of orderflow: the five services, the sandbox and the `orderflow` command.

FROM python:3.13-slim AS builder
# Another package index: docker build --build-arg PIP_INDEX_URL=…; nothing of it reaches the final image.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/orderflow
COPY requirements.lock /src/
RUN pip --python /opt/orderflow/bin/python install --require-hashes --only-binary :all: -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY cli /src/cli
COPY sandbox /src/sandbox
COPY services /src/services
COPY shared /src/shared
RUN pip --python /opt/orderflow/bin/python install --no-deps --no-build-isolation /src

FROM python:3.13-slim
RUN useradd --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin orderflow \
    && install --directory --owner orderflow --group orderflow /data
COPY --from=builder /opt/orderflow /opt/orderflow
COPY deploy/compose/healthy.py /opt/orderflow/bin/
ENV PATH=/opt/orderflow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    HEALTH_PATH=/readyz
USER 10001:10001
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-I", "/opt/orderflow/bin/healthy.py"]
CMD ["orderflow", "--help"]
