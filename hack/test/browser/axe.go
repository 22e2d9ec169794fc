package browser

import (
	"context"
	"crypto/sha256"
	_ "embed" // the packages of axe
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/chromedp/chromedp"
)

// ErrNoNPM is returned if axe-core cannot be installed.
var ErrNoNPM = errors.New("no npm, which installs axe-core (apt-get install npm)")

var (
	//go:embed axe/package.json
	axePackage []byte
	//go:embed axe/package-lock.json
	axeLock []byte
)

// Violation is a rule of axe-core that the page breaks.
type Violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"` // selectors
}

// runAxe evaluates to the violations. Best practices, such as landmarks and the order of
// headings, count too.
const runAxe = `axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
	violations.map(({id, help, nodes}) => ({id, help, nodes: nodes.map(({target}) => target.join(" "))})))`

// Axe returns the source of axe-core, in the version of axe/package-lock.json. npm
// installs it into the user's cache folder, once.
func Axe(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(axeLock)
	folder := filepath.Join(cache, "egress-scw", "axe-"+hex.EncodeToString(sum[:6]))
	file := filepath.Join(folder, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(file); err != nil {
		if err := installAxe(ctx, folder); err != nil {
			return "", err
		}
	}
	source, err := os.ReadFile(file)
	return string(source), err
}

// installAxe installs into a folder of its own, and moves that, so that a run that was
// killed leaves no half of it.
func installAxe(ctx context.Context, folder string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return ErrNoNPM
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "axe-new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for name, text := range map[string][]byte{"package.json": axePackage, "package-lock.json": axeLock} {
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil {
			return err
		}
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = fresh
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out[max(0, len(out)-2000):])
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return os.Rename(fresh, folder)
}

// audit runs axe-core on the page.
func audit(tab context.Context, axe string) ([]Violation, error) {
	// It evaluates to undefined.
	if _, err := chromedp.Run(tab, chromedp.Evaluate[bool](axe+"\n;true")); err != nil {
		return nil, fmt.Errorf("load axe-core: %w", err)
	}
	return chromedp.Run(tab, chromedp.Evaluate[[]Violation](runAxe, chromedp.EvalAwaitPromise))
}
