package scaleway

import (
	"log"
	"sync"

	"github.com/scaleway/scaleway-sdk-go/logger"
)

// quietSDK prevents the SDK's output for SCW_DEBUG: all requests and answers, with
// the beginning of the secret key, and the whole kubeconfig.
var quietSDK = sync.OnceFunc(func() { logger.SetLogger(warnings{}) }) //nolint:gochecknoglobals // the SDK's logger is global

// warnings logs the SDK's warnings and errors for users, and nothing of the traffic.
type warnings struct{}

func (warnings) Debugf(string, ...any) {}

func (warnings) Infof(string, ...any) {}

func (warnings) Warningf(format string, args ...any) { log.Printf("Warning: "+format, args...) }

func (warnings) Errorf(format string, args ...any) { log.Printf("Error: "+format, args...) }

func (warnings) ShouldLog(level logger.LogLevel) bool { return level >= logger.LogLevelWarning }
