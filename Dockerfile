# Squall's images: `--target operator` (the operator, and the hub by `python -m squall.hub`), `--target runner`, and `--target runner-evm`, which
# has besides what EVM steps need.
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
    VIRTUAL_ENV=/opt/squall \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /source

# Of the project's file and the lock only what is to be installed, with hashes: whatever else changes there installs nothing anew.
FROM tools AS locked
COPY pyproject.toml uv.lock ./
# What draws on terminals. Runners have none, and structlog loads all of it where it is there, which takes as long as a runner's start.
ENV UNSEEN="--no-emit-package rich --no-emit-package pygments --no-emit-package markdown-it-py --no-emit-package mdurl"
RUN export="uv export --quiet --frozen --no-emit-project --no-header" && \
    ${export} --no-dev --extra operator --output-file operator.txt && \
    ${export} --no-dev --extra runner ${UNSEEN} --output-file runner.txt && \
    ${export} --no-dev --extra runner --extra evm ${UNSEEN} --output-file runner-evm.txt && \
    ${export} --only-group build --output-file build.txt

# An empty environment, that also finds what lies in /opt/squall-code.
FROM tools AS environment
RUN uv venv --quiet --python python3 /opt/squall && \
    echo /opt/squall-code > "$(/opt/squall/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/squall.pth"
# What packages bring for those who develop with them: tests, types, headers, and lists of files that are not all there any more.
ENV TRIM="find /opt/squall/lib -depth ( -type d -name tests -o -name *.pyi -o -name *.pxd -o -name *.pyx -o -name *.h -o -name *.a -o -name RECORD ) -exec rm -rf {} +"

FROM environment AS operator-dependencies
COPY --from=locked /source/operator.txt ./
RUN set -f && uv pip install --quiet --require-hashes --requirement operator.txt && ${TRIM}

FROM environment AS runner-dependencies
COPY --from=locked /source/runner.txt ./
RUN set -f && uv pip install --quiet --require-hashes --requirement runner.txt && ${TRIM}

FROM environment AS runner-evm-dependencies
COPY --from=locked /source/runner-evm.txt ./
RUN set -f && uv pip install --quiet --require-hashes --requirement runner-evm.txt && ${TRIM}

FROM environment AS code
COPY --from=locked /source/build.txt ./
RUN uv pip install --quiet --require-hashes --requirement build.txt
COPY README.md LICENSE pyproject.toml ./
COPY core core
COPY operator operator
COPY runner runner
RUN uv build --quiet --wheel --no-build-isolation --python /opt/squall/bin/python --out-dir /wheel && \
    uv pip install --quiet --no-deps --no-index --target /opt/squall-code /wheel/*.whl

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
ARG BASE_IMAGE
COPY --from=operator-dependencies /opt/squall /opt/squall
COPY --from=code /opt/squall-code /opt/squall-code
ENTRYPOINT ["squall-operator"]
LABEL org.opencontainers.image.title="squall-operator" \
      org.opencontainers.image.description="Runs load tests on Kubernetes: the operator and the hub" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

FROM base AS runner
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG SOURCE=
ARG BASE_IMAGE
COPY --from=runner-dependencies /opt/squall /opt/squall
COPY --from=code /opt/squall-code /opt/squall-code
ENTRYPOINT ["squall-runner"]
LABEL org.opencontainers.image.title="squall-runner" \
      org.opencontainers.image.description="Drives the load of Squall's load tests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

FROM base AS runner-evm
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG SOURCE=
ARG BASE_IMAGE
COPY --from=runner-evm-dependencies /opt/squall /opt/squall
COPY --from=code /opt/squall-code /opt/squall-code
ENTRYPOINT ["squall-runner"]
LABEL org.opencontainers.image.title="squall-runner-evm" \
      org.opencontainers.image.description="Drives the load of Squall's load tests, EVM steps included" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
