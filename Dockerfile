# syntax=docker/dockerfile:1
# The server for GPU nodes (linux/amd64). Build from the repository root: docker build -t dylora-serve .

# CUDA's major version must be the one that the downloaded provider was linked against; the build checks it.
ARG CUDA_VERSION=13.0.2
ARG NODE_VERSION=24

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /app
# .npmrc comes first: it keeps onnxruntime-node's install script, which downloads, out of npm ci.
COPY .npmrc package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:${NODE_VERSION}-bookworm-slim AS dependencies
ARG CUDA_VERSION
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
RUN npm ci --omit=dev && npm cache clean --force
# Fetches the CUDA provider, then drops what this image never loads: other platforms, TensorRT.
RUN ONNXRUNTIME_NODE_INSTALL=true node node_modules/onnxruntime-node/script/install.js \
 && cd node_modules/onnxruntime-node/bin/napi-v6 \
 && rm -rf darwin win32 linux/arm64 linux/x64/libonnxruntime_providers_tensorrt.so
# A provider for another CUDA would only fail when the container starts on a GPU node: fail here instead.
RUN readelf -d node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so > /tmp/needed \
 && grep NEEDED /tmp/needed \
 && { grep -q "libcudart.so.${CUDA_VERSION%%.*}" /tmp/needed \
   || { echo "The provider wants another CUDA than ${CUDA_VERSION}: pass --build-arg CUDA_VERSION" >&2; exit 1; }; }

FROM nvidia/cuda:${CUDA_VERSION}-runtime-ubuntu24.04
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home dylora
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY models ./models
COPY resources ./resources
ENV HOST=0.0.0.0 PORT=8080
USER dylora
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/ready').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
