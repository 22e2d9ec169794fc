package images

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// RootsModule is the module that contains Certificates.
const RootsModule = "golang.org/x/crypto/x509roots/fallback"

// Webhook is the repository of the webhook's image, which the chart's values
// name as the default.
const Webhook = "egress.scw/webhook"

// Paths of programs in images, as in the Dockerfile. Pods name the sidecar's.
const (
	program = "/main"
	sidecar = "/sidecar"
)

// Repository is the default repository of a program's image.
func Repository(name string) string { return "egress.scw/" + name }

// Program is the image of one program, with its arguments.
func Program(reference, binary string, certificates []byte, args ...string) Image {
	return programAt(program, reference, binary, certificates, args...)
}

func programAt(path, reference, binary string, certificates []byte, args ...string) Image {
	return Image{
		Reference:      reference,
		Binaries:       map[string]string{path: binary},
		CACertificates: certificates,
		Entrypoint:     append([]string{path}, args...),
	}
}

// Product is the image of one of the product's programs, with the labels of the
// Dockerfile, apart from version and revision.
func Product(name, tag, binary string, certificates []byte) Image {
	path := program
	if name == "sidecar" {
		path = sidecar
	}
	image := programAt(path, Repository(name)+":"+tag, binary, certificates)
	image.Labels = map[string]string{
		"org.opencontainers.image.title":       "egress-" + name,
		"org.opencontainers.image.description": "Egress control per tenant for Kubernetes on Scaleway: " + name,
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
	return image
}

// Certificates are the certificate authorities of Mozilla's root program, in
// PEM, as Go's module publishes them: a pinned version, independent of the
// machine that builds. Authorities that Mozilla trusts with further conditions
// are left out, because PEM cannot express these.
func Certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer returns no errors
		}
	}
	return out.Bytes()
}
