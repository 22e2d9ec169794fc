package environment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"egress.scw/charts"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/programs"
	"egress.scw/hack/local/progress"
)

// binaries are the paths of the environment's programs.
type binaries struct {
	builder *programs.Builder

	kubernetes, coreDNS, certManager, local, netpolPlugin, bootstrap, webhook, sidecar, demo, probe string
	// kwok is empty unless there are nodes that exist in the API only.
	kwok string
	// cilium is nil unless it is the pods' network.
	cilium *programs.Cilium
}

// Build builds all programs of the environment with this network of pods. Run as
// root it also makes the root filesystem of the proxy's machine.
func Build(ctx context.Context, log *progress.Log, cni string) error {
	if err := CheckCNI(cni); err != nil {
		return err
	}
	builder, err := programs.New()
	if err != nil {
		return err
	}
	built := &binaries{builder: builder}
	_, err = built.prepare(ctx, log, Options{CNI: cni})
	return err
}

// prepare builds the programs of an environment with these options. At the same
// time it makes the root filesystem of the proxy's machine, which takes more
// waiting than computing. Without root there is no root filesystem.
func (p *binaries) prepare(ctx context.Context, log *progress.Log, options Options) (rootfs machine.RootFS, err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := p.build(groupCtx, log); err != nil {
			return err
		}
		if options.CNI == CNICilium {
			if err := p.buildCilium(groupCtx, log); err != nil {
				return err
			}
		}
		if options.KwokNodes == 0 {
			return nil
		}
		return p.buildKwok(groupCtx, log)
	})
	if os.Geteuid() == 0 {
		group.Go(func() (err error) {
			rootfs, err = machine.MakeRootFS(groupCtx, machine.DefaultImage(), log)
			return err
		})
	}
	err = group.Wait()
	return rootfs, err
}

func (p *binaries) build(ctx context.Context, log *progress.Log) error {
	targets := []struct {
		program programs.Program
		path    *string
	}{
		{programs.Kubernetes(), &p.kubernetes},
		{programs.CoreDNS(), &p.coreDNS},
		{programs.CertManager(), &p.certManager},
		{programs.Local(), &p.local},
		{programs.NetpolPlugin(), &p.netpolPlugin},
		{programs.Probe(), &p.probe},
		{programs.Bootstrap(), &p.bootstrap},
		{programs.Webhook(), &p.webhook},
		{programs.Sidecar(), &p.sidecar},
		{programs.Demo(), &p.demo},
	}
	var all []programs.Program
	for _, target := range targets {
		all = append(all, target.program)
	}
	return log.Step("programs (the first build takes some 15 minutes, later ones seconds)", func() error {
		paths, err := p.builder.BuildAll(ctx, all...)
		for _, target := range targets {
			*target.path = paths[target.program.Name]
		}
		return err
	})
}

func (p *binaries) buildKwok(ctx context.Context, log *progress.Log) error {
	return log.Step("kwok", func() (err error) {
		p.kwok, err = p.builder.Build(ctx, programs.Kwok())
		return err
	})
}

func (p *binaries) buildCilium(ctx context.Context, log *progress.Log) error {
	return log.Step("Cilium (the first build takes some 5 minutes)", func() (err error) {
		p.cilium, err = p.builder.BuildCilium(ctx)
		return err
	})
}

// fingerprint changes with every program and file of an environment, apart from
// kwok, whose nodes only Up knows. The local program contains the internet, the
// fake Scaleway API and egress.yaml. The path of a program belongs to its version.
func (e *Environment) fingerprint() (string, error) {
	h := sha256.New()
	if e.released != nil {
		sums, err := e.released.checksums()
		if err != nil {
			return "", err
		}
		h.Write(sums)
	}
	p := &e.binaries
	if p.cilium != nil {
		fmt.Fprintln(h, p.cilium.Agent)
	}
	fmt.Fprintln(h, p.kubernetes, p.coreDNS, p.certManager, p.local, p.netpolPlugin, p.probe, p.bootstrap, p.webhook, p.sidecar, p.demo)
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
