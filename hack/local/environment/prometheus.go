package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/charts"
	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
	"egress.scw/hack/local/progress"
	"egress.scw/hack/local/prometheus"
)

const (
	processPrometheus = "prometheus"
	prometheusPort    = 9090
	// prometheusInterval is shorter than that of the published configuration: a person
	// waits for the alert.
	prometheusInterval = "5s"
)

// Prometheus runs Debian's Prometheus in the environment, in place of a former one, with
// the published configuration for a Prometheus without the operator and the rules of the
// checkout's chart. It returns, and writes the address, once every target is scraped.
// Pods that start later are not scraped.
func Prometheus(ctx context.Context, log *progress.Log, w io.Writer) error {
	program, err := exec.LookPath("prometheus")
	switch {
	case os.Geteuid() != 0:
		return errors.New("prometheus needs root: it runs in the network of the environment's node")
	case !isUp():
		return errors.New("no local environment is up: make local-up brings it up")
	case err != nil:
		return fmt.Errorf("%w: make deps installs the package prometheus, and does not start its daemon", err)
	}
	if err := StopPrometheus(ctx); err != nil {
		return err
	}
	processes, plan := process.Environment(Dir), network.DefaultPlan()
	folder := filepath.Join(Dir, "prometheus")
	config := filepath.Join(folder, "prometheus.yaml")
	if err := writePrometheus(ctx, folder, config); err != nil {
		return err
	}
	address := netip.AddrPortFrom(plan.NodeAddress, prometheusPort).String()
	running, err := processes.Start(process.Command{
		Name: processPrometheus, Path: program, Netns: plan.Netns(network.Node),
		Args: []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(folder, "data"), "--web.listen-address=" + address},
	})
	if err != nil {
		return err
	}
	if err := log.Step("prometheus", func() error {
		err := waitTargets(ctx, "http://"+address, running.Alive)
		if err != nil {
			err = fmt.Errorf("%w\nthe end of its log:\n%s", err, processes.Tail(processPrometheus))
		}
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(w, "Prometheus: http://%s\n", address)
	return nil
}

// StopPrometheus ends the Prometheus. It is not an error if there is none.
func StopPrometheus(ctx context.Context) error {
	return process.Environment(Dir).Stop(ctx, 5*time.Second, processPrometheus)
}

// writePrometheus writes the configuration and the rules into an empty folder.
func writePrometheus(ctx context.Context, folder, config string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	rules, err := fs.Sub(charts.EgressWebhook, "egress-webhook/rules")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(folder, "rules"), rules); err != nil {
		return err
	}
	builder, err := programs.New()
	if err != nil {
		return err
	}
	published, err := os.ReadFile(filepath.Join(builder.Root(), "docs/monitoring/prometheus.yaml"))
	if err != nil {
		return err
	}
	client, err := cluster.Open(cluster.Config{Environment: process.Environment(Dir)}).Clientset()
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil {
		return err
	}
	adapted, err := prometheus.Adapt(published, pods.Items, prometheusInterval)
	if err != nil {
		return err
	}
	return os.WriteFile(config, adapted, 0o600)
}

// waitTargets waits until Prometheus has scraped every target, and each has answered.
func waitTargets(ctx context.Context, url string, alive func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		missing, err := missingTargets(ctx, url)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("targets that are not scraped: %s", strings.Join(missing, "; "))
		}
		if !alive() {
			return errors.New("prometheus has ended")
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// missingTargets returns the targets that have not answered. There is a target at least.
func missingTargets(ctx context.Context, url string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/targets", nil)
	if err != nil {
		return nil, err
	}
	// Without the proxy of the environment variables: the address is this machine's.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	var answer struct {
		Data struct {
			Active []struct {
				URL    string `json:"scrapeUrl"`
				Health string `json:"health"`
				Error  string `json:"lastError"`
			} `json:"activeTargets"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer.Data.Active) == 0 {
		return nil, errors.New("there is no target")
	}
	var missing []string
	for _, target := range answer.Data.Active {
		if target.Health != "up" {
			missing = append(missing, strings.TrimSpace(target.URL+" "+target.Error))
		}
	}
	slices.Sort(missing)
	return missing, nil
}
