package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Parse reads the file. Unknown, missing and repeated fields and values out of
// bounds are errors; the error joins all of them, each with the path of its field.
func Parse(data []byte) (*Config, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(data), MaxBytes)
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	var r reader
	config := r.config(data)
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return config, nil
}

// Marshal returns the file for a configuration. The error joins everything that
// Parse would refuse.
func Marshal(config *Config) ([]byte, error) {
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := Parse(data); err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

func (r *reader) config(raw json.RawMessage) *Config {
	config := new(Config)
	r.object("", raw, []member{
		{"tenant", true, func(path string, raw json.RawMessage) { config.Tenant = readText(r, path, raw, tenant) }},
		{"machines", true, func(path string, raw json.RawMessage) { config.Machines = r.machines(path, raw) }},
		{"capture", false, func(path string, raw json.RawMessage) { config.Capture = r.capture(path, raw) }},
	})
	return config
}

func (r *reader) machines(path string, raw json.RawMessage) []Machine {
	var machines []Machine
	r.array(path, raw, MaxMachines, func(path string, raw json.RawMessage) {
		var machine Machine
		r.object(path, raw, []member{
			{"address", true, func(path string, raw json.RawMessage) {
				machine.Address = readText(r, path, raw, address)
				if machine.Address.IsValid() && slices.ContainsFunc(machines, func(other Machine) bool { return other.Address == machine.Address }) {
					r.fail(path, "is the address of another machine too: "+machine.Address.String())
				}
			}},
			{"certificate", true, func(path string, raw json.RawMessage) { machine.Certificate = readText(r, path, raw, certificate) }},
		})
		machines = append(machines, machine)
	})
	return machines
}

func (r *reader) capture(path string, raw json.RawMessage) *Capture {
	capture := new(Capture)
	r.object(path, raw, []member{
		{"ports", true, func(path string, raw json.RawMessage) {
			r.array(path, raw, MaxPorts, func(path string, raw json.RawMessage) {
				capture.Ports = addOnce(r, path, capture.Ports, r.port(path, raw))
			})
		}},
		{"clusterDomain", true, func(path string, raw json.RawMessage) { capture.ClusterDomain = readText(r, path, raw, domain) }},
		{"resolvers", true, func(path string, raw json.RawMessage) {
			r.array(path, raw, MaxResolvers, func(path string, raw json.RawMessage) {
				capture.Resolvers = addOnce(r, path, capture.Resolvers, readText(r, path, raw, address))
			})
		}},
		{"direct", false, func(path string, raw json.RawMessage) {
			r.array(path, raw, MaxDirect, func(path string, raw json.RawMessage) {
				capture.Direct = addOnce(r, path, capture.Direct, readText(r, path, raw, domain))
			})
		}},
		{"ranges", false, func(path string, raw json.RawMessage) {
			r.array(path, raw, MaxRanges, func(path string, raw json.RawMessage) {
				capture.Ranges = addOnce(r, path, capture.Ranges, readText(r, path, raw, network))
			})
		}},
	})
	return capture
}

// addOnce adds a value to a list, and reports one that is in it. The zero value
// stands for one that is not valid, which has been reported.
func addOnce[T uint16 | string | netip.AddrPort | netip.Prefix](r *reader, path string, list []T, value T) []T {
	if value != *new(T) && slices.Contains(list, value) {
		r.fail(path, fmt.Sprintf("is a second %v", value))
	}
	return append(list, value)
}
