// Package clients runs real clients in the network of a tenant's pod, and compares
// the ways of their requests with the rows of package matrix.
package clients

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/progress"
	"egress.scw/hack/test/clients/debian"
	"egress.scw/hack/test/clients/matrix"
)

// root is a root filesystem with every client, made once and never changed.
type root struct {
	folder string
	// certificate is that of all origins. Clients in the root trust its authority.
	certificate tls.Certificate
}

// path is the root filesystem's folder.
func (r *root) path() string { return filepath.Join(r.folder, "root") }

// mountpoint is an empty folder, on which each request mounts its copy.
func (r *root) mountpoint() string { return filepath.Join(r.folder, "mount") }

// makeRoot returns the root filesystem of the clients. If the user's cache folder
// does not contain it, makeRoot makes it in some minutes from packages of Debian
// and npm, and removes older ones.
func makeRoot(ctx context.Context, log *progress.Log, clients []matrix.Client) (*root, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the user's cache folder for the clients: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "clients")
	locked, err := os.ReadFile("programs/node/package-lock.json")
	if err != nil {
		return nil, err
	}
	packages := debian.Packages(clients)
	result := &root{folder: filepath.Join(cache, recipeHash(packages, locked))}
	if err := result.load(); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errExpired) {
		return result, err
	}
	err = log.Step("root filesystem with the clients", func() error {
		if err := os.RemoveAll(cache); err != nil {
			return err
		}
		unfinished := &root{folder: filepath.Join(cache, "unfinished")}
		if err := unfinished.make(ctx, packages); err != nil {
			return err
		}
		return os.Rename(unfinished.folder, result.folder)
	})
	if err != nil {
		return nil, err
	}
	return result, result.load()
}

// errExpired is the error of a root filesystem whose certificates expire soon.
var errExpired = errors.New("the certificates of the root filesystem expire")

// load reads the certificate.
func (r *root) load() (err error) {
	files := internet.CertificatesIn(r.folder)
	r.certificate, err = tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return err
	}
	if time.Until(r.certificate.Leaf.NotAfter) < 24*time.Hour {
		return errExpired
	}
	return nil
}

// recipeHash covers all choices made here, and the packages of npm.
func recipeHash(packages []string, locked []byte) string {
	hash := sha256.New()
	fmt.Fprintln(hash, debian.Options(packages), trustOrigins(""), hosts(), string(locked))
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// hosts are the names and addresses of the origins' certificate.
func hosts() (names []string) {
	for _, target := range matrix.Targets() {
		names = append(names, strings.TrimSuffix(target.Host, "."), target.Address.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// trustOrigins makes programs in the root filesystem trust the origins' authority.
func trustOrigins(authority string) []string {
	return []string{
		debian.Hook(`cp "%s" "$1"/usr/local/share/ca-certificates/origins.crt`, authority),
		debian.Hook(`chroot "$1" update-ca-certificates`),
	}
}

func (r *root) make(ctx context.Context, packages []string) error {
	for _, folder := range []string{r.folder, r.mountpoint()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	certificates, err := internet.CreateCertificates(r.folder, hosts(), nil)
	if err != nil {
		return err
	}
	if err := debian.Folder(ctx, r.path(), packages, trustOrigins(certificates.CA)...); err != nil {
		return err
	}
	return r.installNode(ctx)
}

// installNode installs the packages of npm, above the folder of the programs,
// where Node looks for them.
func (r *root) installNode(ctx context.Context) error {
	folder := filepath.Join(r.path(), "opt")
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("programs", "node", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--install-strategy=hoisted", "--force")
	cmd.Dir = folder
	return output(cmd)
}

// output runs a command. The error has the end of its output.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w; the end of its output:\n%s", cmd.Args[0], err, out[max(0, len(out)-2000):])
	}
	return nil
}
