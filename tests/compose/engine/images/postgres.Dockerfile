# Stands in for the official postgres image: the same variables, data path, user and entry point.
FROM stand-in/debian
ARG MAJOR
# Debian 13 has PostgreSQL 17; the newest suite has 18.
RUN sed -i 's/trixie/sid/' /etc/apt/sources.list && apt-get update \
 && apt-get install -y --no-install-recommends "postgresql-${MAJOR}" && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
 && ln -s "/usr/lib/postgresql/${MAJOR}" /usr/lib/postgresql/current \
 && mkdir -p /docker-entrypoint-initdb.d /var/run/postgresql && chown postgres: /var/lib/postgresql /var/run/postgresql
# As the official image has it: a tmpfs mounted here takes its mode from the folder below.
RUN chmod 3777 /var/run/postgresql
ENV PATH=/usr/lib/postgresql/current/bin:$PATH PGDATA=/var/lib/postgresql/${MAJOR}/docker LANG=C.UTF-8
VOLUME /var/lib/postgresql
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
