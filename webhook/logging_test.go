package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/go-logr/logr"
)

// TestErrorsHaveOneKey: errors of logr and of slog are logged under one key.
func TestErrorsHaveOneKey(t *testing.T) {
	t.Parallel()
	cause := errors.New("the disk is full")
	for name, log := range map[string]func(*slog.Logger){
		"slog": func(logger *slog.Logger) { logger.Error("failed", "error", cause) },
		"logr": func(logger *slog.Logger) { logr.FromSlogHandler(logger.Handler()).Error(cause, "failed") },
	} {
		var line bytes.Buffer
		log(slog.New(slog.NewJSONHandler(&line, &slog.HandlerOptions{ReplaceAttr: renameError})))
		var got map[string]any
		if err := json.Unmarshal(line.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got["error"] != "the disk is full" || got["err"] != nil {
			t.Errorf("%s: %s", name, line.Bytes())
		}
	}
}
