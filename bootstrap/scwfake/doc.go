// Package scwfake is a fake of the part of the Scaleway API that the bootstrap
// uses: VPC, Public Gateway, IPAM, Instance, Block Storage, Marketplace,
// Kubernetes and Container Registry. It keeps a project in memory and answers
// over HTTP in the real API's words, so that Scaleway's own SDK works on it.
//
// What it answers was taken from recorded traffic; testdata/recordings holds
// the shapes, and a test holds the fake to them. Where there is no recording
// the answer was rebuilt from the SDK's source and marked "reconstructed".
//
// The fake refuses only what Scaleway refuses. In particular most names are
// not unique, and a POST that is repeated makes a second resource.
package scwfake
