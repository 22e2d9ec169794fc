package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// Repository serves the packages of a RootFS as a flat apt repository.
func Repository(rootfs RootFS) http.Handler { return http.FileServer(http.Dir(rootfs.Packages)) }

// repositorySource is the line of sources.list for a Repository, which is not
// signed.
func repositorySource(url string) string { return "deb [trusted=yes] " + url + " ./\n" }

// WriteIndex writes apt's index of the packages in a folder, as the file Packages.
func WriteIndex(ctx context.Context, folder string) error {
	packages, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("no packages in %s", folder)
	}
	var index bytes.Buffer
	for _, name := range packages {
		control, err := output(ctx, "dpkg-deb", "--field", name)
		if err != nil {
			return err
		}
		sum, size, err := digest(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", bytes.TrimSpace(control), filepath.Base(name), size, sum)
	}
	return os.WriteFile(filepath.Join(folder, "Packages"), index.Bytes(), 0o644)
}

func digest(name string) (sum []byte, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	return hash.Sum(nil), size, err
}
