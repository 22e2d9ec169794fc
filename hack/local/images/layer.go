package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// files are the files of a layer, in the format of tar and without dates.
type files struct {
	buffer bytes.Buffer
	tar    *tar.Writer
	err    error // the first one
}

func newFiles() *files {
	f := &files{}
	f.tar = tar.NewWriter(&f.buffer)
	return f
}

// folder adds an empty folder. Its name ends in a slash.
func (f *files) folder(name string, mode int64) {
	f.write(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, nil)
}

// file adds a file.
func (f *files) file(name string, mode int64, content []byte) {
	f.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (f *files) write(header *tar.Header, content []byte) {
	if f.err == nil {
		f.err = f.tar.WriteHeader(header)
	}
	if f.err == nil {
		_, f.err = f.tar.Write(content)
	}
}

// layer returns the layer with these files, compressed or not.
func (f *files) layer(compressed bool) (v1.Layer, error) {
	if err := errors.Join(f.err, f.tar.Close()); err != nil {
		return nil, err
	}
	if !compressed {
		return static.NewLayer(f.buffer.Bytes(), types.OCIUncompressedLayer), nil
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(f.buffer.Bytes())), nil
	}, tarball.WithCompressionLevel(1), tarball.WithMediaType(types.OCILayer))
}
