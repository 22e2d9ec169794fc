package inject

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/internal/jsonobject"
)

// maxPodPorts bounds the ports that are read of a pod. They only leave to the pod's own
// programs what the sidecar would take.
const maxPodPorts = 256

// containerDetails are the details of a list of containers.
type containerDetails struct {
	namedElement
	// ports are the TCP ports of the containers, distinct, in their order.
	ports []uint16
}

// UnmarshalJSONFrom reads a list of containers.
func (c *containerDetails) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	c.ports = nil
	return c.read(d, func(value jsontext.Value) error {
		if !bytes.Contains(value, []byte(`"containerPort"`)) {
			return nil
		}
		return json.Unmarshal(value, &containerPorts{into: &c.ports}, DecodeOptions)
	})
}

// containerPorts reads the ports of a container.
type containerPorts struct{ into *[]uint16 }

// UnmarshalJSONFrom reads a container.
func (c *containerPorts) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "ports", Into: (*portList)(c.into)})
}

type portList []uint16

// UnmarshalJSONFrom reads a list of ports.
func (p *portList) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Elements(d, func() error {
		var port containerPort
		if err := port.UnmarshalJSONFrom(d); err != nil {
			return err
		}
		// Other numbers are refused by the API server.
		if number := uint16(port.number); port.protocol != "UDP" && port.protocol != "SCTP" && int64(number) == port.number && //nolint:gosec // compared
			len(*p) < maxPodPorts && !slices.Contains(*p, number) {
			*p = append(*p, number)
		}
		return nil
	})
}

type containerPort struct {
	number   int64
	protocol string
}

// UnmarshalJSONFrom reads a port.
func (p *containerPort) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "containerPort", Into: &p.number}, jsonobject.Field{Name: "protocol", Into: &p.protocol})
}
