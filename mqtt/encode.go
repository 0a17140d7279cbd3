package mqtt

import "encoding/binary"

// Append appends the packet.
func (p *Connect) Append(dst []byte) []byte {
	dst, at := start(dst, TypeConnect, 0)
	dst = append(appendText(dst, "MQTT"), byte(p.Version))
	flags := len(dst)
	dst = binary.BigEndian.AppendUint16(append(dst, 0), p.KeepAlive)
	if p.CleanStart {
		dst[flags] |= flagCleanStart
	}
	if p.Version == Version5 {
		dst = p.Properties.append(dst)
	}
	dst = appendText(dst, p.ClientID)
	if w := p.Will; w != nil {
		dst[flags] |= flagWill | w.QoS<<3
		if w.Retain {
			dst[flags] |= flagWillRetain
		}
		if p.Version == Version5 {
			dst = w.Properties.append(dst)
		}
		dst = appendText(appendText(dst, w.Topic), w.Payload)
	}
	if p.HasUserName || p.UserName != "" {
		dst[flags] |= flagUserName
		dst = appendText(dst, p.UserName)
	}
	if p.HasPassword || len(p.Password) > 0 {
		dst[flags] |= flagPassword
		dst = appendText(dst, p.Password)
	}
	return finish(dst, at)
}

// Append appends the packet.
func (p *ConnAck) Append(dst []byte, v Version) []byte {
	dst, at := start(dst, TypeConnAck, 0)
	flags := byte(0)
	if p.SessionPresent {
		flags = 1
	}
	dst = append(dst, flags, byte(p.Code))
	if v == Version5 {
		dst = p.Properties.append(dst)
	}
	return finish(dst, at)
}

// Append appends the packet.
func (p *Publish) Append(dst []byte, v Version) []byte {
	flags := p.QoS << 1
	if p.Dup {
		flags |= 8
	}
	if p.Retain {
		flags |= 1
	}
	if v == Version5 {
		var at int
		dst, at = start(dst, TypePublish, flags)
		dst = p.Properties.append(p.appendTopic(dst))
		return finish(append(dst, p.Payload...), at)
	}
	length := 2 + min(len(p.Topic), MaxText) + len(p.Payload)
	if p.QoS > 0 {
		length += 2
	}
	dst = p.appendTopic(appendHeader(dst, TypePublish, flags, length))
	return append(dst, p.Payload...)
}

func (p *Publish) appendTopic(dst []byte) []byte {
	dst = appendText(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	return dst
}

// Append appends the packet. Without properties it is as short as it can be.
func (p *Ack) Append(dst []byte, v Version) []byte {
	flags := byte(0)
	if p.Type == TypePubRel {
		flags = 2
	}
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(append(dst, byte(p.Type)<<4|flags, 2), p.PacketID)
	if v != Version5 {
		return dst
	}
	bare := p.Properties.bare()
	if p.Code == Success && bare {
		return dst
	}
	dst = append(dst, byte(p.Code))
	if !bare {
		dst = p.Properties.append(dst)
	}
	return finish(dst, at)
}

// bare reports whether an acknowledgement has no properties. It can have no
// others than these.
func (p *Properties) bare() bool {
	return p.ReasonString == "" && len(p.User) == 0 && !p.HasSessionExpiry && p.SessionExpiry == 0 && p.ServerReference == "" && p.AuthMethod == "" && p.AuthData == nil
}

// Append appends the packet.
func (p *Subscribe) Append(dst []byte, v Version) []byte {
	dst, at := start(dst, TypeSubscribe, 2)
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v == Version5 {
		dst = p.Properties.append(dst)
	}
	for i := range p.Filters {
		f := &p.Filters[i]
		options := f.QoS
		if v == Version5 {
			options |= f.RetainHandling << 4
			if f.NoLocal {
				options |= 4
			}
			if f.RetainAsPublished {
				options |= 8
			}
		}
		dst = append(appendText(dst, f.Topic), options)
	}
	return finish(dst, at)
}

// Append appends the packet.
func (p *SubAck) Append(dst []byte, v Version) []byte {
	return appendCodes(dst, TypeSubAck, v, p.PacketID, &p.Properties, p.Codes)
}

// Append appends the packet.
func (p *UnsubAck) Append(dst []byte, v Version) []byte {
	codes := p.Codes
	if v != Version5 {
		codes = nil
	}
	return appendCodes(dst, TypeUnsubAck, v, p.PacketID, &p.Properties, codes)
}

func appendCodes(dst []byte, t Type, v Version, id uint16, p *Properties, codes []Code) []byte {
	dst, at := start(dst, t, 0)
	dst = binary.BigEndian.AppendUint16(dst, id)
	if v == Version5 {
		dst = p.append(dst)
	}
	for _, c := range codes {
		dst = append(dst, byte(c))
	}
	return finish(dst, at)
}

// Append appends the packet.
func (p *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst, at := start(dst, TypeUnsubscribe, 2)
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v == Version5 {
		dst = p.Properties.append(dst)
	}
	for _, f := range p.Filters {
		dst = appendText(dst, f)
	}
	return finish(dst, at)
}

// Append appends the packet.
func (p *Ping) Append(dst []byte) []byte { return append(dst, byte(p.Type)<<4, 0) }

// Append appends the packet. In 3.1.1 it has nothing but its header.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	return appendEnd(dst, TypeDisconnect, v, p.Code, &p.Properties)
}

// Append appends the packet, which is of MQTT 5.
func (p *Auth) Append(dst []byte) []byte {
	return appendEnd(dst, TypeAuth, Version5, p.Code, &p.Properties)
}

func appendEnd(dst []byte, t Type, v Version, c Code, p *Properties) []byte {
	dst, at := start(dst, t, 0)
	bare := p.bare()
	if v != Version5 || c == Success && bare {
		return dst
	}
	dst = append(dst, byte(c))
	if !bare || t == TypeAuth {
		dst = p.append(dst)
	}
	return finish(dst, at)
}
