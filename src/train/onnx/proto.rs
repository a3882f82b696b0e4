//! The messages of onnx.proto, kept by hand for prost: whole, so that what is read of another model and written
//! again loses nothing but documentation, tensor types inside graphs, and quantisation notes.

use prost::Message;

pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT32: i32 = 6;
pub(super) const INT64: i32 = 7;
pub(super) const FLOAT16: i32 = 10;
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
    /// Functions, as they are.
    #[prost(bytes = "vec", repeated, tag = 25)]
    pub(super) functions: Vec<Vec<u8>>,
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
    /// Sparse weights, as they are.
    #[prost(bytes = "vec", repeated, tag = 15)]
    pub(super) sparse_initializer: Vec<Vec<u8>>,
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
    #[prost(string, tag = 7)]
    pub(super) domain: String,
    #[prost(string, tag = 8)]
    pub(super) overload: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = 1)]
    pub(super) name: String,
    #[prost(float, tag = 2)]
    pub(super) f: f32,
    #[prost(int64, tag = 3)]
    pub(super) i: i64,
    #[prost(bytes = "vec", tag = 4)]
    pub(super) s: Vec<u8>,
    #[prost(message, optional, tag = 5)]
    pub(super) t: Option<TensorProto>,
    #[prost(message, optional, tag = 6)]
    pub(super) g: Option<GraphProto>,
    #[prost(float, repeated, tag = 7)]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = 8)]
    pub(super) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = 9)]
    pub(super) strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = 10)]
    pub(super) tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = 11)]
    pub(super) graphs: Vec<GraphProto>,
    #[prost(message, optional, tag = 14)]
    pub(super) tp: Option<TypeProto>,
    #[prost(message, repeated, tag = 15)]
    pub(super) type_protos: Vec<TypeProto>,
    #[prost(int32, tag = 20)]
    pub(super) r#type: i32,
    #[prost(string, tag = 21)]
    pub(super) ref_attr_name: String,
    #[prost(bytes = "vec", optional, tag = 22)]
    pub(super) sparse_tensor: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = 23)]
    pub(super) sparse_tensors: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = 1)]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = 2)]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = 4)]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = 5)]
    pub(super) int32_data: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = 6)]
    pub(super) string_data: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = 7)]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = 8)]
    pub(super) name: String,
    /// Absent where the values are in one of the lists.
    #[prost(bytes = "vec", optional, tag = 9)]
    pub(super) raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = 10)]
    pub(super) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = 11)]
    pub(super) uint64_data: Vec<u64>,
    /// Where the values are in a file of their own.
    #[prost(message, repeated, tag = 13)]
    pub(super) external_data: Vec<StringStringEntry>,
    #[prost(int32, tag = 14)]
    pub(super) data_location: i32,
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
    /// Types that are no tensors, as they are.
    #[prost(bytes = "vec", optional, tag = 4)]
    pub(super) sequence_type: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = 5)]
    pub(super) map_type: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = 8)]
    pub(super) sparse_tensor_type: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = 9)]
    pub(super) optional_type: Option<Vec<u8>>,
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
