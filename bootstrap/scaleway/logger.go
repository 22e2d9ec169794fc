package scaleway

import (
	"log"
	"sync"

	"github.com/scaleway/scaleway-sdk-go/logger"
)

// quietSDK keeps the SDK from what it does when SCW_DEBUG is set: it prints all
// requests and answers, with the beginning of the secret key, and the
// kubeconfig as a whole.
var quietSDK = sync.OnceFunc(func() { logger.SetLogger(warnings{}) }) //nolint:gochecknoglobals // the SDK's logger is one

// warnings logs what a user has to know, and nothing of the traffic.
type warnings struct{}

func (warnings) Debugf(string, ...any) {}

func (warnings) Infof(string, ...any) {}

func (warnings) Warningf(format string, args ...any) { log.Printf("Warning: "+format, args...) }

func (warnings) Errorf(format string, args ...any) { log.Printf("Error: "+format, args...) }

func (warnings) ShouldLog(level logger.LogLevel) bool { return level >= logger.LogLevelWarning }
