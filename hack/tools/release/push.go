package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"egress.scw/hack/local/images"
)

// repositories are the names of images and chart.
type repositories struct {
	// registry is a registry and a namespace in it; "" is for a folder alone.
	registry string
}

func newRepositories(registry string) (repositories, error) {
	if registry == "" {
		return repositories{}, nil
	}
	_, err := name.NewRepository(registry+"/"+chartName, name.StrictValidation)
	if strings.Contains(registry, "://") {
		err = errors.New("a registry is written without a scheme")
	}
	if err != nil {
		return repositories{}, fmt.Errorf("registry %q: %w: write a host and a namespace, such as rg.fr-par.scw.cloud/example", registry, err)
	}
	return repositories{registry}, nil
}

// service is the repository of a program's image.
func (r repositories) service(program string) string {
	if r.registry == "" {
		return images.Repository(program)
	}
	return r.registry + "/" + program
}

// content is the content of an OCI layout and its name in the registry.
type content struct {
	reference name.Tag
	taggable  remote.Taggable
	digest    v1.Hash
}

// push pushes images and chart of a release's folder, the chart last: a chart in
// the registry has its image there. A tag that exists with another content is an
// error, and then no content is pushed.
func push(ctx context.Context, folder, version string, r repositories, w io.Writer) error {
	contents, err := r.contents(folder, version)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	var errs []error
	for _, c := range contents {
		errs = append(errs, c.requireUnreleased(options))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, c := range contents {
		if err := remote.Push(c.reference, c.taggable, options...); err != nil {
			return fmt.Errorf("push %s: %w", c.reference, err)
		}
		fmt.Fprintf(w, "pushed %s@%s\n", c.reference, c.digest)
	}
	return nil
}

// contents reads the OCI layouts of a release.
func (r repositories) contents(folder, version string) ([]content, error) {
	var contents []content
	add := func(layoutFolder, repository string) error {
		reference, err := name.NewTag(repository+":"+version, name.StrictValidation)
		if err != nil {
			return err
		}
		c, err := readLayout(filepath.Join(folder, layoutFolder))
		c.reference = reference
		contents = append(contents, c)
		return err
	}
	for _, p := range services {
		if err := add(filepath.Join(imageFolder, p.Name), r.service(p.Name)); err != nil {
			return nil, err
		}
	}
	return contents, add(filepath.Join(chartFolder, chartName), r.service(chartName))
}

// readLayout reads the one manifest of an OCI layout.
func readLayout(folder string) (content, error) {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return content{}, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return content{}, fmt.Errorf("%s: %w", folder, err)
	}
	if len(manifest.Manifests) != 1 {
		return content{}, fmt.Errorf("%s has %d manifests: it must have one", folder, len(manifest.Manifests))
	}
	descriptor := manifest.Manifests[0]
	c := content{digest: descriptor.Digest}
	if descriptor.MediaType.IsIndex() {
		c.taggable, err = index.ImageIndex(descriptor.Digest)
	} else {
		c.taggable, err = index.Image(descriptor.Digest)
	}
	return c, err
}

// requireUnreleased returns an error if the tag exists with another content.
func (c content) requireUnreleased(options []remote.Option) error {
	existing, err := remote.Head(c.reference, options...)
	var response *transport.Error
	switch {
	case errors.As(err, &response) && response.StatusCode == http.StatusNotFound:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", c.reference, err)
	case existing.Digest != c.digest:
		return fmt.Errorf("%s exists with another content (%s, not %s): choose another version, since a released one never changes", c.reference, existing.Digest, c.digest)
	}
	return nil
}
