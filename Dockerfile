# One file, three images; each holds what the one before it holds, and more:
#
#   serve     what the scoring graph runs on: no TensorFlow, no scikit-learn, no shap
#   explain   and shap with scikit-learn and numba, for the Explainer alone
#   train     and TensorFlow, Ray Tune, MLflow: ztad train, tune, models
#
# docker build --target serve --tag ztad-serve:0.1.0 .
#
# Pin the base by digest where builds must be repeatable to the byte:
# --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# ---- packages: every one from a lock file, every one with its hash ----
FROM ${PYTHON_IMAGE} AS installer
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1
WORKDIR /src
COPY requirements/uv.txt requirements/
RUN python -m venv /opt/uv \
    && /opt/uv/bin/pip install --require-hashes --requirement requirements/uv.txt \
    && python -m venv --without-pip /opt/ztad

FROM installer AS packages-serve
COPY requirements/serve.txt requirements/
RUN /opt/uv/bin/uv pip install --python /opt/ztad --require-hashes --requirement requirements/serve.txt

FROM packages-serve AS packages-explain
COPY requirements/explain.txt requirements/
RUN /opt/uv/bin/uv pip install --python /opt/ztad --require-hashes --requirement requirements/explain.txt

FROM packages-explain AS packages-train
COPY requirements/train.txt requirements/
RUN /opt/uv/bin/uv pip install --python /opt/ztad --require-hashes --requirement requirements/train.txt

# ---- our own code: a layer of its own, so that a release moves kilobytes ----
FROM packages-serve AS code
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/compile.txt requirements/
RUN /opt/uv/bin/uv pip install --python /opt/ztad --require-hashes --requirement requirements/compile.txt
COPY pyproject.toml README.md LICENSE ./
COPY preprocessing preprocessing
COPY models models
COPY ensemble ensemble
COPY alerting alerting
COPY tuning tuning
COPY services services
RUN /opt/uv/bin/uv pip install --python /opt/ztad --no-deps --no-build-isolation --target /opt/code .
# For the interpreter that runs it, of the sources where they run.
RUN cd /opt/code && /opt/ztad/bin/python -m preprocessing.compiling --required

# ---- what runs ----
FROM ${PYTHON_IMAGE} AS runtime
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# KubeRay's probes are "bash -c 'wget ... | grep success'": the base image lacks wget alone.
# hadolint ignore=DL3008,SC2016
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash grep wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 ztad \
    && useradd --uid 10001 --gid 10001 --create-home --shell /bin/bash ztad \
    # A login shell, which KubeRay can be told to use, starts from its own PATH.
    && echo 'export PATH=/opt/ztad/bin:/opt/code/bin:$PATH' > /etc/profile.d/ztad.sh
ENV PATH=/opt/ztad/bin:/opt/code/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/code \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    # The root file system may be read-only: what is compiled or cached at run time goes here.
    NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /home/ztad
CMD ["ztad", "--help"]

FROM runtime AS serve
COPY --from=packages-serve /opt/ztad /opt/ztad
COPY --from=code /opt/code /opt/code

FROM runtime AS explain
COPY --from=packages-explain /opt/ztad /opt/ztad
COPY --from=code /opt/code /opt/code

FROM runtime AS train
COPY --from=packages-train /opt/ztad /opt/ztad
COPY --from=code /opt/code /opt/code
