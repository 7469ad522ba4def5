# The front end. No torch inside: it holds no model.
#   docker build --file docker/api.Dockerfile --tag palimpsest-api .
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH \
    PALIMPSEST_DATA_DIR=/var/lib/palimpsest

WORKDIR /srv/palimpsest

# The same user in both images: they share the volume of the edit log.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/palimpsest --create-home palimpsest \
    && install --directory --owner=palimpsest --group=palimpsest /var/lib/palimpsest-accepted \
    && python3.11 -m venv /opt/venv

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY app ./app
RUN pip install --constraint constraints.txt --editable .

USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["uvicorn", "--factory", "app.main:create_app", "--timeout-graceful-shutdown", "10", \
     "--host", "0.0.0.0", "--port", "8000"]
