# syntax=docker/dockerfile:1
# Two images of one server (linux/amd64), built from the repository root:
#   docker build -t dylora-serve .                     for GPU nodes
#   docker build -t dylora-serve:cpu --target cpu .    without CUDA

ARG NODE_VERSION=24
# Its major version must be the one that the provider was linked against; the build checks it.
ARG CUDA_VERSION=13.0.2

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /app
# .npmrc comes first: it keeps onnxruntime-node's install script, which downloads, out of npm ci.
COPY .npmrc package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:${NODE_VERSION}-bookworm-slim AS dependencies
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
RUN npm ci --omit=dev
COPY docker/image/prune.sh docker/image/prune.sh
RUN sh docker/image/prune.sh node_modules

# pip refuses whatever has another checksum than provider.txt says.
FROM python:3.12-slim-bookworm AS provider
WORKDIR /provider
COPY docker/image/provider.txt ./
RUN python3 -m pip download --no-cache-dir --no-deps --require-hashes --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 -r provider.txt -d wheel
RUN python3 -m zipfile -e wheel/*.whl unpacked
COPY docker/image/runtime-commit.sh ./
RUN mkdir lib \
 && sh runtime-commit.sh unpacked/onnxruntime/capi/libonnxruntime.so.1.* > lib/provider-commit \
 && mv unpacked/onnxruntime/capi/libonnxruntime_providers_cuda.so unpacked/onnxruntime/capi/libonnxruntime_providers_shared.so lib/

FROM node:${NODE_VERSION}-bookworm-slim AS cpu
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp dylora
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY models/base ./models/base
# A volume that is mounted there for the first time takes the files, and their owner, over.
COPY --chown=10001:10001 models/adapters ./models/adapters
COPY resources ./resources
ENV HOST=0.0.0.0 PORT=8080 DEVICE=cpu NODE_ENV=production CACHE_DIR=/tmp/dylora
USER 10001
RUN ["node", "dist/cli/main.js", "serve", "--help"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/ready`).then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]

# The smallest of NVIDIA's images plus the two libraries that the provider links against.
FROM nvidia/cuda:${CUDA_VERSION}-base-ubuntu24.04 AS cuda
ARG CUDA_VERSION
WORKDIR /app
RUN apt-get update \
 && release=$(echo "$CUDA_VERSION" | cut -d. -f1,2 | tr . -) \
 && apt-get install -y --no-install-recommends libatomic1 libstdc++6 "libcublas-$release" "libcurand-$release" \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp dylora
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=provider /provider/lib/ ./node_modules/onnxruntime-node/bin/napi-v6/linux/x64/
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY models/base ./models/base
# A volume that is mounted there for the first time takes the files, and their owner, over.
COPY --chown=10001:10001 models/adapters ./models/adapters
COPY resources ./resources
COPY docker/image/check-provider.sh docker/image/runtime-commit.sh docker/image/
# A provider of another release or for another CUDA would only fail when the container starts on a GPU node: fail here instead.
RUN sh docker/image/check-provider.sh node_modules/onnxruntime-node/bin/napi-v6/linux/x64 "${CUDA_VERSION%%.*}"
ENV HOST=0.0.0.0 PORT=8080 DEVICE=auto NODE_ENV=production CACHE_DIR=/tmp/dylora
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
RUN ["node", "dist/cli/main.js", "serve", "--help"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/ready`).then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
