package wire

import "iter"

// Items walks over the elements of a list, an array or a map (keys and values
// in turn). It is a value: copying it copies the position.
type Items struct {
	data   []byte
	prefix []byte // of an array's described elements
	code   byte   // of an array's elements
	array  bool
	left   int
}

// Items returns the elements of a list, array or map; of anything else, none.
func (v Value) Items() Items {
	switch v.Type() {
	case TypeList, TypeMap:
		if v.code == codeList0 {
			return Items{}
		}
		count, data, err := header(v.code, v.body)
		if err != nil {
			return Items{}
		}
		return Items{data: data, left: count}
	case TypeArray:
		return v.arrayItems()
	}
	return Items{}
}

func (v Value) arrayItems() Items {
	count, data, err := header(v.code, v.body)
	if err != nil || count == 0 {
		return Items{}
	}
	prefix, code, data, err := elementCode(data, MaxDepth)
	if err != nil {
		return Items{}
	}
	return Items{data: data, prefix: prefix, code: code, array: true, left: count}
}

// Len returns how many elements are left.
func (i *Items) Len() int { return i.left }

// Next returns the next element, or false when there is none.
func (i *Items) Next() (Value, bool) {
	if i.left == 0 {
		return Value{}, false
	}
	i.left--
	if i.array {
		return i.element()
	}
	v, rest, err := next(i.data)
	if err != nil {
		i.left = 0
		return Value{}, false
	}
	i.data = rest
	return v, true
}

// element is Next for an array, whose elements share one constructor.
func (i *Items) element() (Value, bool) {
	n, err := extent(i.code, i.data)
	if err != nil {
		i.left = 0
		return Value{}, false
	}
	body := i.data[:n:n]
	i.data = i.data[n:]
	if i.prefix == nil {
		return Value{code: i.code, body: body}, true
	}
	raw := make([]byte, 0, len(i.prefix)+1+n)
	raw = append(raw, i.prefix...)
	raw = append(raw, i.code)
	return own(append(raw, body...)), true
}

// Elements ranges over the elements of a list or an array.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		items := v.Items()
		for e, ok := items.Next(); ok && yield(e); e, ok = items.Next() {
			continue
		}
	}
}

// Entries ranges over the entries of a map, in order. Keys may repeat: what
// that means is for the reader to decide.
func (v Value) Entries() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		if v.Type() != TypeMap {
			return
		}
		items := v.Items()
		for {
			key, _ := items.Next()
			value, ok := items.Next()
			if !ok || !yield(key, value) {
				return
			}
		}
	}
}

// Len returns the number of elements of a list or array, and of entries of a map.
func (v Value) Len() int {
	items := v.Items()
	if v.Type() == TypeMap {
		return items.Len() / 2
	}
	return items.Len()
}

// Get returns the entry of a map whose key is the string or symbol key,
// absent if there is none.
func (v Value) Get(key string) Value {
	for k, value := range v.Entries() {
		if k.Is(key) {
			return value
		}
	}
	return Value{}
}

// Strings returns the texts of a list or array of strings or symbols, or of a
// single one: AMQP allows either where a field is "multiple" (part 1.4).
// Other elements are skipped.
func (v Value) Strings() []string {
	if s, ok := v.Str(); ok {
		return []string{s}
	}
	var out []string
	for e := range v.Elements() {
		if s, ok := e.Str(); ok {
			out = append(out, s)
		}
	}
	return out
}
