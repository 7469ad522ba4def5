# A worker: holds one model on a GPU. The wheel of torch brings the CUDA libraries; the image, the driver's hooks.
#   docker build --file docker/worker.Dockerfile --tag palimpsest-worker .
FROM nvidia/cuda:13.0.0-base-rockylinux9

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH \
    HF_HOME=/var/lib/palimpsest/huggingface \
    PALIMPSEST_DATA_DIR=/var/lib/palimpsest \
    PALIMPSEST_WORKER_HOST=0.0.0.0 \
    PALIMPSEST_WORKER_PORT=8100

WORKDIR /srv/palimpsest

# The same user in both images: they share the volume of the edit log.
RUN dnf install --assumeyes --setopt=install_weak_deps=False python3.11 \
    && dnf clean all \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/palimpsest --create-home palimpsest \
    && install --directory --owner=palimpsest --group=palimpsest /var/lib/palimpsest-adapters \
    && python3.11 -m venv /opt/venv

COPY constraints.txt ./
RUN pip install --constraint constraints.txt "torch==2.13.0"

COPY pyproject.toml README.md LICENSE ./
COPY app ./app
COPY workers ./workers
RUN pip install --constraint constraints.txt --editable ".[worker,accelerate]"

USER 10001:10001
EXPOSE 8100
# Loading a large model, and replaying its log, may take minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8100/healthz', timeout=4)"]
CMD ["python", "-m", "workers", "--model", "workers/models/atlas-gpt2"]
