package fakes

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Demo is a running process of the demo.
type Demo struct {
	// URL is the address of its page.
	URL string

	process *exec.Cmd
	drained chan struct{}
}

// Build builds the demo of a checkout into a folder.
func Build(ctx context.Context, repository, folder string) (binary string, err error) {
	binary = filepath.Join(folder, "demo")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./demo")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the demo: %w\n%s", err, out)
	}
	return binary, nil
}

// Start starts a binary with only env in its environment and the internet's certificate
// in its trust store, which is written into the folder of the binary. The caller stops
// it by Stop.
func Start(ctx context.Context, binary string, internet *httptest.Server, env []string, args ...string) (*Demo, error) {
	trust := filepath.Join(filepath.Dir(binary), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: internet.Certificate().Raw})
	if err := os.WriteFile(trust, ca, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, append(args, "--listen=127.0.0.1:0")...)
	cmd.Env = append([]string{"SSL_CERT_FILE=" + trust}, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	demo := &Demo{process: cmd, drained: make(chan struct{})}
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadBytes('\n')
	go func() {
		defer close(demo.drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	var started struct{ Address string }
	if err == nil {
		err = json.Unmarshal(first, &started)
	}
	if err != nil || started.Address == "" {
		return nil, errors.Join(fmt.Errorf("the demo's first line has no address: %s", first), err, demo.Stop())
	}
	demo.URL = "http://" + started.Address
	return demo, nil
}

// Stop stops the process by SIGTERM, and returns an error unless it exits with 0.
func (d *Demo) Stop() error {
	_ = d.process.Process.Signal(syscall.SIGTERM) // it may have ended
	<-d.drained
	if err := d.process.Wait(); err != nil {
		return fmt.Errorf("the demo stopped with %w", err)
	}
	return nil
}
