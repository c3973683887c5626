# The image for production: `docker run forebay gateway --config /etc/forebay/forebay.yaml`.
# Of the extras it has `kubernetes`, `optimizer` and `runtime`, so neither Envoy nor Redis; `forebay engine` runs without
# KV-cache events.  Set the addresses in `listen`: their default, loopback, cannot be reached from outside the container.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements-kubernetes.lock requirements-compile.lock ./
# Two environments, so that the compilers of protobuf messages and request path are not in the image.
RUN python -m venv /build && /build/bin/pip install --require-hashes -r requirements-compile.lock
RUN python -m venv --without-pip /opt/forebay \
 && /build/bin/pip --python /opt/forebay/bin/python install --require-hashes -r requirements-kubernetes.lock
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY autoscaling autoscaling
COPY console console
COPY controllers controllers
COPY forebay forebay
COPY gateway gateway
COPY kube kube
COPY optimizer optimizer
COPY ratelimit ratelimit
COPY routing routing
COPY runtime runtime
COPY simulator simulator
COPY traffic traffic
COPY deploy deploy
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /build/bin/pip --python /opt/forebay/bin/python install --no-deps --no-index /dist/*.whl \
 && /build/bin/pip install --no-deps --no-index --target /dist/site /dist/*.whl \
 && /build/bin/python deploy/compile.py /dist/site \
 && cp -r /dist/site/. /opt/forebay/lib/python3.11/site-packages/

# The same base image, because the environment in /opt/forebay links to its interpreter.
FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/forebay forebay
COPY --from=build /opt/forebay /opt/forebay
ENV PATH=/opt/forebay/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /var/lib/forebay
USER 10001
# ext_proc and access log, HTTP, admin REST; the private addresses of workers (`listen.workers`) are further ports
EXPOSE 50052 8080 8090
STOPSIGNAL SIGTERM
ENTRYPOINT ["forebay"]
CMD ["--help"]
