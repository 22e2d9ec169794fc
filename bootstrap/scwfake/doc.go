// Package scwfake is a fake of the part of the Scaleway API that bootstrap uses:
// VPC, Public Gateway, IPAM, Instance, Block Storage, Marketplace, Kubernetes and
// Container Registry. It keeps a project in memory and answers over HTTP in the
// form of the real API, so that Scaleway's own SDK works with it. README.md lists
// the files of each product.
//
// The answers were taken from recorded traffic: testdata/recordings contains their
// shapes, and a test compares the fake with them. An answer without a recording was
// rebuilt from the SDK's source, and is marked "reconstructed".
//
// The fake refuses only requests that Scaleway refuses. In particular, most names
// are not unique, and a repeated POST creates a second resource.
package scwfake
