package main

import (
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// setUpLogging writes all logs to standard error as JSON: those of this
// program, controller-runtime, client-go and net/http.
func setUpLogging(level slog.Level) *slog.Logger {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: renameError}))
	slog.SetDefault(logger)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return logger
}

// renameError gives the errors of logr's loggers the key of all other errors.
// The key of logr is fixed.
func renameError(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) == 0 && attribute.Key == "err" {
		attribute.Key = "error"
	}
	return attribute
}
