package wire

// Constructors of the primitive types (part 1.6).
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBool       = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBinary8    = 0xa0
	codeString8    = 0xa1
	codeSymbol8    = 0xa3
	codeBinary32   = 0xb0
	codeString32   = 0xb1
	codeSymbol32   = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)

// A Type is one of AMQP's types, whatever the width of its encoding.
type Type uint8

// The types. The zero Type is that of nothing valid.
const (
	TypeInvalid Type = iota
	TypeNull
	TypeBool
	TypeUbyte
	TypeUshort
	TypeUint
	TypeUlong
	TypeByte
	TypeShort
	TypeInt
	TypeLong
	TypeFloat
	TypeDouble
	TypeDecimal32
	TypeDecimal64
	TypeDecimal128
	TypeChar
	TypeTimestamp
	TypeUUID
	TypeBinary
	TypeString
	TypeSymbol
	TypeList
	TypeMap
	TypeArray
	TypeDescribed
)

var typeNames = [...]string{
	"invalid", "null", "boolean", "ubyte", "ushort", "uint", "ulong", "byte", "short", "int", "long",
	"float", "double", "decimal32", "decimal64", "decimal128", "char", "timestamp", "uuid",
	"binary", "string", "symbol", "list", "map", "array", "described",
}

// String returns the type's name as the standard writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeNames[TypeInvalid]
}

// typeOf returns the type a constructor stands for, TypeInvalid if it is none.
func typeOf(code byte) Type {
	switch code {
	case codeDescribed:
		return TypeDescribed
	case codeNull:
		return TypeNull
	case codeTrue, codeFalse, codeBool:
		return TypeBool
	case codeList0, codeList8, codeList32:
		return TypeList
	case codeMap8, codeMap32:
		return TypeMap
	case codeArray8, codeArray32:
		return TypeArray
	case codeString8, codeString32:
		return TypeString
	case codeSymbol8, codeSymbol32:
		return TypeSymbol
	case codeBinary8, codeBinary32:
		return TypeBinary
	}
	return fixedType(code)
}

// fixedType is typeOf for the constructors of fixed width.
func fixedType(code byte) Type {
	switch code {
	case codeUbyte:
		return TypeUbyte
	case codeUshort:
		return TypeUshort
	case codeUint0, codeSmallUint, codeUint:
		return TypeUint
	case codeUlong0, codeSmallUlong, codeUlong:
		return TypeUlong
	case codeByte:
		return TypeByte
	case codeShort:
		return TypeShort
	case codeSmallInt, codeInt:
		return TypeInt
	case codeSmallLong, codeLong:
		return TypeLong
	case codeFloat:
		return TypeFloat
	case codeDouble:
		return TypeDouble
	case codeChar:
		return TypeChar
	case codeTimestamp:
		return TypeTimestamp
	case codeUUID:
		return TypeUUID
	case codeDecimal32:
		return TypeDecimal32
	case codeDecimal64:
		return TypeDecimal64
	case codeDecimal128:
		return TypeDecimal128
	}
	return TypeInvalid
}
