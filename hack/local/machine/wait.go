package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cloudInitResult is the file that cloud-init writes at the end of a boot. Its
// folder is new with each boot.
const cloudInitResult = "/run/cloud-init/result.json"

// Wait waits until cloud-init has finished this boot. It returns an error if
// cloud-init reports one, or has not found its data in Scaleway's metadata
// service: without any data it reports "done" as well.
func (vm *VM) Wait(ctx context.Context) error {
	for {
		if _, err := os.Lstat(filepath.Join(fmt.Sprintf("/proc/%d/root", vm.init), cloudInitResult)); err == nil {
			break
		}
		if err := vm.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	result, err := vm.Exec(ctx, "cat", cloudInitResult)
	if err != nil {
		return err
	}
	status, err := vm.Exec(ctx, "cat", "/run/cloud-init/status.json")
	if err != nil {
		return err
	}
	if err := checkCloudInit([]byte(result), []byte(status)); err != nil {
		output, logErr := vm.Exec(ctx, "tail", "-n", "30", "/var/log/cloud-init-output.log")
		return errors.Join(fmt.Errorf("cloud-init: %w; the end of its output:\n%s", err, output), logErr)
	}
	return nil
}

// checkCloudInit evaluates cloud-init's report about a boot.
func checkCloudInit(resultJSON, statusJSON []byte) error {
	var result struct {
		V1 struct {
			Datasource string   `json:"datasource"`
			Errors     []string `json:"errors"`
		} `json:"v1"`
	}
	if err := json.Unmarshal(resultJSON, &result); err != nil {
		return fmt.Errorf("result.json: %w", err)
	}
	var status struct {
		V1 map[string]json.RawMessage `json:"v1"`
	}
	if err := json.Unmarshal(statusJSON, &status); err != nil {
		return fmt.Errorf("status.json: %w", err)
	}
	problems := result.V1.Errors
	for _, stage := range []string{"init-local", "init", "modules-config", "modules-final"} {
		var s struct {
			Errors   []string `json:"errors"`
			Finished float64  `json:"finished"`
		}
		if err := json.Unmarshal(status.V1[stage], &s); err != nil {
			return fmt.Errorf("status.json, %s: %w", stage, err)
		}
		problems = append(problems, s.Errors...)
		if s.Finished == 0 {
			problems = append(problems, stage+" has not finished")
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	if result.V1.Datasource != "DataSourceScaleway" {
		return fmt.Errorf("its data came from %q", result.V1.Datasource)
	}
	return nil
}
