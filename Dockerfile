# Squall's two images: `--target operator` (the operator, and the hub by `python -m squall.hub`) and `--target runner`.
#
# Whatever changes seldom comes first: the base, then the locked dependencies, then a small layer of Squall's own code. The code is one
# wheel, built once, the same in both images. Everything is compiled here, so nothing needs to be written where the images run:
# they work with a read-only root, as any user, given a writable /tmp.

ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS tools
ARG UV_VERSION=0.13.8
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
# The environment has one path everywhere, as scripts name their interpreter by it.
ENV PATH=/opt/uv/bin:${PATH} \
    UV_PROJECT_ENVIRONMENT=/opt/squall \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=unchecked-hash
WORKDIR /source
COPY pyproject.toml uv.lock ./

FROM tools AS operator-dependencies
RUN uv sync --frozen --no-dev --no-install-project --extra operator && \
    echo /opt/squall-code > "$(/opt/squall/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/squall.pth"

FROM tools AS runner-dependencies
RUN uv sync --frozen --no-dev --no-install-project --extra runner && \
    echo /opt/squall-code > "$(/opt/squall/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/squall.pth"

FROM tools AS code
RUN uv sync --frozen --no-install-project --only-group build
COPY README.md LICENSE ./
COPY core core
COPY operator operator
COPY runner runner
RUN uv build --quiet --wheel --no-build-isolation --python /opt/squall/bin/python --out-dir /wheel && \
    uv pip install --python /opt/squall/bin/python --no-deps --no-index --target /opt/squall-code /wheel/*.whl

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/squall-code/bin:/opt/squall/bin:${PATH} \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532

FROM base AS operator
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG SOURCE=
COPY --from=operator-dependencies /opt/squall /opt/squall
COPY --from=code /opt/squall-code /opt/squall-code
ENTRYPOINT ["squall-operator"]
LABEL org.opencontainers.image.title="squall-operator" \
      org.opencontainers.image.description="Runs load tests on Kubernetes: the operator and the hub" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

FROM base AS runner
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG SOURCE=
COPY --from=runner-dependencies /opt/squall /opt/squall
COPY --from=code /opt/squall-code /opt/squall-code
ENTRYPOINT ["squall-runner"]
LABEL org.opencontainers.image.title="squall-runner" \
      org.opencontainers.image.description="Drives the load of Squall's load tests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
