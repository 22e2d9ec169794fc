package images

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations of an entry of an OCI layout.
const (
	// AnnotationTag is the tag of the image or artefact.
	AnnotationTag = "org.opencontainers.image.ref.name"
	// AnnotationName is the whole reference, which containerd imports it under.
	AnnotationName = "io.containerd.image.name"
)

// fromLayout reads the image for the platform from the one index of an OCI
// layout.
func (i Image) fromLayout() (v1.Image, error) {
	root, err := layout.ImageIndexFromPath(i.Layout)
	if err != nil {
		return nil, err
	}
	indexes, err := partial.FindIndexes(root, match.MediaTypes(string(types.OCIImageIndex)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.Layout, err)
	}
	if len(indexes) != 1 {
		return nil, fmt.Errorf("%s has %d indexes: it must have one", i.Layout, len(indexes))
	}
	found, err := partial.FindImages(indexes[0], match.Platforms(i.platform()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.Layout, err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s has %d images for %s: it must have one", i.Layout, len(found), i.platform())
	}
	return found[0], nil
}
