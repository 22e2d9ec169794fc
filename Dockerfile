# One file for the images of webhook, sidecar, bootstrap and demo:
#
#   docker buildx build --build-arg TARGET=webhook --build-arg VERSION=0.1.0 .
#
# Build arguments: TARGET (webhook, sidecar, bootstrap or demo), VERSION (what the
# binary says it is) and REVISION (the commit, for the image's label). The platforms are
# buildx's (--platform linux/amd64,linux/arm64).

# The builder runs on the builder's own platform and compiles for the image's:
# no emulation.
FROM --platform=$BUILDPLATFORM golang:1.26.8@sha256:3c3e25a4da13fd0478eed2df1eb35a0e667094a7124d3993a6a1d30f71c17e79 AS build
WORKDIR /src

# Apart from the sources, so that an edit does not download the modules again.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG TARGET
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    case "$TARGET" in \
      webhook|bootstrap|demo) folder=$TARGET ;; \
      sidecar) folder=webhook/sidecar && mkdir -p /out && ln -s main /out/sidecar ;; \
      *) echo "--build-arg TARGET must be webhook, sidecar, bootstrap or demo, not '$TARGET'" >&2; exit 1 ;; \
    esac && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/main "./$folder"

FROM gcr.io/distroless/static:nonroot@sha256:e2e927ec666bae08560abb3c55d0659eceabb657f56b6782ab500a9fc7f555e3
ARG TARGET
ARG VERSION=dev
ARG REVISION
LABEL org.opencontainers.image.title="egress-$TARGET" \
      org.opencontainers.image.description="Egress control per tenant for Kubernetes on Scaleway: $TARGET" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="gcr.io/distroless/static:nonroot"
# Pods name the path /sidecar, a link to /main in the sidecar's image.
COPY --from=build /out/ /
# The user "nonroot" by its number: the kubelet cannot tell from a name that
# it is not root (runAsNonRoot).
USER 65532:65532
ENTRYPOINT ["/main"]
