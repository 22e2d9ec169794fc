package environment

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"egress.scw/hack/local/images"
)

// released is the folder of a release, as make release writes it. The
// environment can run its images and its chart in place of the checkout's.
type released struct {
	dir string
	// version is the version of its chart.
	version string
	// chart is the path of its chart's archive.
	chart string
}

// openReleased finds the chart in the folder of a release; nil for no folder.
func openReleased(dir string) (*released, error) {
	if dir == "" {
		return nil, nil
	}
	const prefix, suffix = "egress-webhook-", ".tgz"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	charts, err := filepath.Glob(filepath.Join(dir, "charts", prefix+"*"+suffix))
	if err != nil {
		return nil, err
	}
	if len(charts) != 1 {
		return nil, fmt.Errorf("%s has %d charts: give the folder of one release, such as dist/0.1.0", dir, len(charts))
	}
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(charts[0]), prefix), suffix)
	return &released{dir: dir, version: version, chart: charts[0]}, nil
}

// images are the images of the release. The demo's manifests name a tag of their
// own, and the demo trusts the authority of the environment's internet.
func (r *released) images(authority []byte) []images.Image {
	return []images.Image{
		{Reference: images.Webhook + ":" + r.version, Layout: filepath.Join(r.dir, "images", "webhook")},
		{Reference: images.Repository("sidecar") + ":" + r.version, Layout: filepath.Join(r.dir, "images", "sidecar")},
		{Reference: images.Repository("demo") + ":" + imageTag, Layout: filepath.Join(r.dir, "images", "demo"), CACertificates: authority},
	}
}

// checksums lists the files of the release. It identifies it.
func (r *released) checksums() ([]byte, error) {
	return os.ReadFile(filepath.Join(r.dir, "SHA256SUMS"))
}
