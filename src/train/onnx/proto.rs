//! The part of onnx.proto that is written, kept by hand for prost, and its numbers.

use prost::Message;

pub(super) const FLOAT: i32 = 1;
pub(super) const INT64: i32 = 7;
pub(super) const ATTRIBUTE_FLOAT: i32 = 1;
pub(super) const ATTRIBUTE_INT: i32 = 2;
pub(super) const ATTRIBUTE_INTS: i32 = 7;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = 1)]
    pub(super) ir_version: i64,
    #[prost(string, tag = 2)]
    pub(super) producer_name: String,
    #[prost(string, tag = 3)]
    pub(super) producer_version: String,
    #[prost(message, optional, tag = 7)]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = 8)]
    pub(super) opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = 14)]
    pub(super) metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSetId {
    #[prost(string, tag = 1)]
    pub(super) domain: String,
    #[prost(int64, tag = 2)]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringStringEntry {
    #[prost(string, tag = 1)]
    pub(super) key: String,
    #[prost(string, tag = 2)]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = 1)]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, tag = 2)]
    pub(super) name: String,
    #[prost(message, repeated, tag = 5)]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = 11)]
    pub(super) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = 12)]
    pub(super) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = 1)]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = 2)]
    pub(super) output: Vec<String>,
    #[prost(string, tag = 3)]
    pub(super) name: String,
    #[prost(string, tag = 4)]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = 5)]
    pub(super) attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = 1)]
    pub(super) name: String,
    #[prost(float, tag = 2)]
    pub(super) f: f32,
    #[prost(int64, tag = 3)]
    pub(super) i: i64,
    #[prost(int64, repeated, tag = 8)]
    pub(super) ints: Vec<i64>,
    #[prost(int32, tag = 20)]
    pub(super) r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = 1)]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = 2)]
    pub(super) data_type: i32,
    #[prost(string, tag = 8)]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = 9)]
    pub(super) raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = 1)]
    pub(super) name: String,
    #[prost(message, optional, tag = 2)]
    pub(super) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = 1)]
    pub(super) tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(int32, tag = 1)]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = 2)]
    pub(super) shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ShapeProto {
    #[prost(message, repeated, tag = 1)]
    pub(super) dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = 1)]
    pub(super) dim_value: Option<i64>,
    #[prost(string, optional, tag = 2)]
    pub(super) dim_param: Option<String>,
}
