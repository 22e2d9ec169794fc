package main

import (
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// setUpLogging writes all logs to standard error as JSON: those of this
// program, controller-runtime, client-go and net/http.
func setUpLogging(level slog.Level) *slog.Logger {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: replaceAttribute}))
	slog.SetDefault(logger)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return logger
}

// maxLogged bounds a value in the log, in bytes: the stack of a panic is shorter.
const maxLogged = 16 << 10

// replaceAttribute gives the errors of logr's loggers the key of all other errors, which
// logr does not let them have. It also shortens long values: the API server checks the
// objects that clients send it after the webhook, so that a name or a label may have some
// megabytes.
func replaceAttribute(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) == 0 && attribute.Key == "err" {
		attribute.Key = "error"
	}
	text := ""
	switch value := attribute.Value; value.Kind() {
	case slog.KindString:
		text = value.String()
	case slog.KindAny:
		if err, ok := value.Any().(error); ok {
			text = err.Error()
		}
	default:
	}
	if len(text) > maxLogged {
		attribute.Value = slog.StringValue(strings.ToValidUTF8(text[:maxLogged], "") + "…")
	}
	return attribute
}
