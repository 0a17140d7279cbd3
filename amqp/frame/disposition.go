package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// Disposition tells a new state of deliveries, or that they are settled (part
// 2.7.6). First and Last are delivery ids, both included.
type Disposition struct {
	Role      Role
	First     uint32
	Last      uint32
	Settled   bool
	State     State
	Batchable bool
}

// Decode sets d from the fields of a disposition.
func (d *Disposition) Decode(items wire.Items) error {
	f := fields{items: items}
	*d = Disposition{Role: f.role(), First: f.required("first")}
	d.Last = f.uint32("last", d.First)
	d.Settled = f.bool("settled")
	state := f.any()
	d.Batchable = f.bool("batchable")
	if f.err != nil {
		return f.err
	}
	var err error
	d.State, err = DecodeState(state)
	return err
}

// Append appends the disposition.
func (d *Disposition) Append(dst []byte) []byte {
	dst, at := start(dst, CodeDisposition)
	dst = wire.AppendBool(dst, bool(d.Role))
	dst = wire.AppendUint(dst, d.First)
	if d.Last == d.First {
		dst = wire.AppendNull(dst)
	} else {
		dst = wire.AppendUint(dst, d.Last)
	}
	dst = wire.AppendBool(dst, d.Settled)
	return wire.EndList(d.State.Append(dst), at, 5)
}
