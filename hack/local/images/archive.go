package images

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Write writes the image to a file that containerd of this machine imports. Its layers are
// not compressed: that would cost a third of the time in which the node starts.
func Write(file string, image Image) error {
	reference, err := name.NewTag(image.Reference)
	if err != nil {
		return err
	}
	built, err := image.build(false)
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Reference, err)
	}
	return tarball.WriteToFile(file, reference, built)
}
