package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/internet"
	"egress.scw/webhook/api/names"
)

// endedSidecars: a sidecar that is killed, or that exceeds its memory, is restarted by
// the kubelet. An application loses the connection that it has, and goes on with another
// one. So it does after a restart in each mode.
func endedSidecars(t *testing.T) {
	t.Run("killed", func(t *testing.T) { outlives(t, byVariables, killSidecar) })
	t.Run("out of memory", func(t *testing.T) { outlives(t, byNames, exhaustSidecar) })
	t.Run("requests after it", func(t *testing.T) {
		reaches(t, byVariables, "get")
		reaches(t, byNames, "get", "--direct")
	})
}

// outlives ends the sidecar of a tenant's pod while an application in the pod requests
// the IP echo.
func outlives(t *testing.T, tenant sidecarTenant, end func(*testing.T, string, sidecarState)) {
	command := []string{"outlive"}
	if tenant.captures {
		command = append(command, "--direct")
	}
	path := "/get?outlives=" + tenant.name
	type result struct {
		printed string
		err     error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := probe(t.Context(), tenant.name, append(command, "https://"+environment.IPEchoName+path)...)
		ended <- result{out, err}
	}()
	eventually(t, "requests of the application", func() (bool, string) {
		events, err := shared.InternetEvents()
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, event := range events {
			if event.Kind == internet.EventRequest && event.Path == path {
				count++
			}
		}
		return count > 5, fmt.Sprintf("%d requests", count)
	})
	before := sidecarOf(t, tenant.name)
	end(t, tenant.name, before)
	after := sidecarOf(t, tenant.name)
	if after.RestartCount != before.RestartCount+1 || after.LastState.Terminated.ExitCode != 128+int(syscall.SIGKILL) {
		t.Errorf("the sidecar's container was %+v and is %+v", before, after)
	}
	application := <-ended
	t.Logf("ended by %s; the application: %s", after.LastState.Terminated.Reason, strings.Join(lines(application.printed), ", "))
	if application.err != nil || lines(application.printed)[0] != "2 connections" {
		t.Errorf("the application: %q, %v; want 2 connections: one before and one after it", application.printed, application.err)
	}
}

// sidecarState is the state of a sidecar's container.
type sidecarState struct {
	ContainerID  string
	RestartCount int
	Started      bool
	LastState    struct {
		Terminated struct {
			ExitCode int
			Reason   string
		}
	}
}

// sidecarOf returns the state of the sidecar in the probe's pod of a namespace.
func sidecarOf(t *testing.T, namespace string) (state sidecarState) {
	t.Helper()
	out := mustKubectl(t, "--namespace="+namespace, "get", "pods", "-l", "app=probe", "-o",
		`jsonpath={.items[0].status.initContainerStatuses[?(@.name=="`+names.SidecarName+`")]}`)
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return state
}

// restarted reports whether the sidecar runs again.
func restarted(t *testing.T, namespace string, before sidecarState) (bool, string) {
	t.Helper()
	now := sidecarOf(t, namespace)
	return now.RestartCount > before.RestartCount && now.Started, fmt.Sprintf("%+v", now)
}

// mainProcess is the process of the sidecar's container.
func mainProcess(t *testing.T, state sidecarState) int {
	t.Helper()
	processes := processesOf(t, strings.TrimPrefix(state.ContainerID, "containerd://"))
	if len(processes) == 0 {
		t.Fatalf("no process of %+v", state)
	}
	return processes[0]
}

func killSidecar(t *testing.T, namespace string, state sidecarState) {
	if err := syscall.Kill(mainProcess(t, state), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the restart of the sidecar", func() (bool, string) { return restarted(t, namespace, state) })
}

// exhaustSidecar lowers the limit of the container's memory to the amount that is in use.
// The next process in the container needs more, and the kernel ends the largest one.
func exhaustSidecar(t *testing.T, namespace string, state sidecarState) {
	usage, limit := memoryFiles(t, mainProcess(t, state))
	eventually(t, "the restart of the sidecar", func() (bool, string) {
		if done, description := restarted(t, namespace, state); done {
			return true, description
		}
		used, err := os.ReadFile(usage)
		if err == nil {
			err = os.WriteFile(limit, used, 0o600)
		}
		// Version 1 refuses a limit below the memory that is in use by now.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENODEV) {
			t.Fatal(err)
		}
		_, execErr := kubectl(t.Context(), "--namespace="+namespace, "exec", "deployment/probe", "--container="+names.SidecarName, "--", names.SidecarProgram, "check")
		return false, fmt.Sprint(strings.TrimSpace(string(used)), " bytes in use, ", err, execErr)
	})
}

// memoryFiles returns the files with the use and the limit of the memory of a process'
// cgroup, of version 1 or 2.
func memoryFiles(t *testing.T, pid int) (usage, limit string) {
	t.Helper()
	const root = "/sys/fs/cgroup"
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines(string(text)) {
		if _, folder, found := strings.Cut(line, ":memory:"); found {
			return filepath.Join(root, "memory", folder, "memory.usage_in_bytes"), filepath.Join(root, "memory", folder, "memory.limit_in_bytes")
		}
	}
	_, folder, found := strings.Cut(string(text), "0::")
	if !found {
		t.Fatalf("no memory cgroup in %s", text)
	}
	return filepath.Join(root, strings.TrimSpace(folder), "memory.current"), filepath.Join(root, strings.TrimSpace(folder), "memory.max")
}
