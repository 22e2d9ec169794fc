package environment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"

	"egress.scw/charts"
	"egress.scw/hack/build"
	"egress.scw/hack/machine"
	"egress.scw/hack/progress"
)

// programs are the binaries that the environment consists of.
type programs struct {
	builder *build.Builder

	kubernetes, coreDNS, certManager, local, bootstrap, webhook, demo, probe string
}

// Build builds everything that the environment consists of; what the proxy's
// machine boots as root only, who alone can.
func Build(ctx context.Context, log *progress.Log) error {
	builder, err := build.New()
	if err != nil {
		return err
	}
	if err := (&programs{builder: builder}).build(ctx, log); err != nil || os.Geteuid() != 0 {
		return err
	}
	_, err = machine.MakeRootFS(ctx, log)
	return err
}

// build builds all of them, one after the other: each build uses every core.
func (p *programs) build(ctx context.Context, log *progress.Log) error {
	return log.Step("programs (the first build takes some 15 minutes, later ones seconds)", func() error {
		for _, each := range []struct {
			program build.Program
			path    *string
		}{
			{build.Kubernetes(), &p.kubernetes},
			{build.CoreDNS(), &p.coreDNS},
			{build.CertManager(), &p.certManager},
			{build.Local(), &p.local},
			{build.Probe(), &p.probe},
			{build.Bootstrap(), &p.bootstrap},
			{build.Webhook(), &p.webhook},
			{build.Demo(), &p.demo},
		} {
			path, err := p.builder.Build(ctx, each.program)
			if err != nil {
				return err
			}
			*each.path = path
		}
		return nil
	})
}

// fingerprint changes with everything that an environment is made of. The local
// program holds the internet, the fake Scaleway API and egress.yaml.
func (p *programs) fingerprint() (string, error) {
	h := sha256.New()
	for _, path := range []string{p.kubernetes, p.coreDNS, p.certManager, p.local, p.probe, p.bootstrap, p.webhook, p.demo} {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(content)
		h.Write(sum[:])
	}
	err := fs.WalkDir(charts.EgressWebhook, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := charts.EgressWebhook.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
