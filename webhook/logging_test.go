package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
		log(slog.New(slog.NewJSONHandler(&line, &slog.HandlerOptions{ReplaceAttr: replaceAttribute})))
		var got map[string]any
		if err := json.Unmarshal(line.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got["error"] != "the disk is full" || got["err"] != nil {
			t.Errorf("%s: %s", name, line.Bytes())
		}
	}
}

// TestLongValues: values that clients send are logged in part.
func TestLongValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 1<<20)
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, &slog.HandlerOptions{ReplaceAttr: replaceAttribute})).
		Error("failed: "+long, "tenant", long, "error", fmt.Errorf("reading %q: %w", long, errors.New("no such tenant")))
	if line.Len() > 3*(maxLogged+200) {
		t.Errorf("%d bytes were logged", line.Len())
	}
	if !json.Valid(line.Bytes()) || bytes.Contains(line.Bytes(), []byte("\ufffd")) {
		t.Errorf("not valid: %.100s", line.Bytes())
	}
}
