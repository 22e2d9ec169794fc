package images

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Write writes the image to a file that containerd imports.
func Write(file string, image Image) error {
	reference, err := name.NewTag(image.Reference)
	if err != nil {
		return err
	}
	built, err := image.build()
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Reference, err)
	}
	return tarball.WriteToFile(file, reference, built)
}
