package cloudinit

import "egress.scw/webhook/api/names"

// VM is the former name of Machine.
type VM = Machine

// Former names, until bootstrap/stack calls SquidConf.
const (
	Certificate = certificate
	ErrorPages  = errorPages
	CacheLog    = cacheLog
	PIDFile     = pidFile
	ManagerPort = names.ProxyManagerPort
)
