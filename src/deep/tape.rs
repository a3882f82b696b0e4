//! One recorded computation on burn: weights as leaves, layers by the weights' names, and the gradients back
//! as plain numbers. Without training, nothing is recorded and nothing dropped out.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn_tensor::{Device, Int, Tensor, TensorData, activation, module};
use rand::RngCore;
use rand_xoshiro::Xoshiro256Plus as Rng;

use crate::batch::Batch;
use crate::names::{Weights, is_trained};
use crate::optimiser::Gradients;

/// The leaf that stands for the batch's inputs where FGM moves them; no weight's name begins so.
pub(crate) const INPUT: &str = "@input";

pub(crate) struct Tape {
    device: Device,
    leaves: BTreeMap<String, (Vec<usize>, Tensor<1>)>,
    dropout: Option<(f32, RefCell<Rng>)>,
}

/// The device that networks run on: a GPU with the feature `cuda`, else one CPU thread.
pub(crate) fn device() -> Device {
    #[cfg(feature = "cuda")]
    return Device::cuda(0_usize);
    #[cfg(not(feature = "cuda"))]
    Device::flex()
}

impl Tape {
    /// For predicting.
    pub(crate) fn still(weights: &Weights) -> Self {
        Self::new(weights, device(), |_| false, None)
    }

    /// For a training step that drops out a share of the activations.
    pub(crate) fn recording(weights: &Weights, dropout: f32, rng: Rng) -> Self {
        let dropout = (dropout > 0.0).then(|| (dropout, RefCell::new(rng)));
        Self::new(weights, device().autodiff(), is_trained, dropout)
    }

    fn new(
        weights: &Weights,
        device: Device,
        tracked: fn(&str) -> bool,
        dropout: Option<(f32, RefCell<Rng>)>,
    ) -> Self {
        let leaf = |(name, w): (&String, &crate::Weight)| {
            let data = TensorData::new(w.values.clone(), [w.values.len()]);
            let tensor = Tensor::<1>::from_data(data, &device);
            let tensor = if tracked(name) { tensor.require_grad() } else { tensor };
            (name.clone(), (w.shape.clone(), tensor))
        };
        Self { leaves: weights.iter().map(leaf).collect(), device, dropout }
    }

    /// Puts the batch's inputs in as a leaf of their own, so that they get a gradient.
    pub(crate) fn track_input(&mut self, batch: &mut Batch) {
        batch.tracked = true;
        let values = batch.input.clone();
        let n = values.len();
        let tensor = self.data(values, [n]).require_grad();
        self.leaves.insert(INPUT.to_owned(), (vec![n], tensor));
    }

    /// The batch's inputs, tracked or not.
    pub(crate) fn input<const D: usize>(&self, batch: &Batch, shape: [usize; D]) -> Tensor<D> {
        match self.leaves.get(INPUT) {
            Some((_, leaf)) if batch.tracked => leaf.clone().reshape(shape),
            _ => self.data(batch.input.clone(), shape),
        }
    }

    pub(crate) fn data<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    pub(crate) fn whole<const D: usize>(&self, values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// A weight in its shape of rank D.
    pub(crate) fn weight<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, leaf) = &self.leaves[name];
        let shape: [usize; D] = shape[..].try_into().expect("the rank of the layout");
        leaf.clone().reshape(shape)
    }

    /// x W' + b of the weights `name.weight`, `name.bias`.
    pub(crate) fn linear<const D: usize>(&self, x: Tensor<D>, name: &str) -> Tensor<D> {
        let weight = self.weight::<2>(&format!("{name}.weight")).transpose();
        module::linear(x, weight, Some(self.weight::<1>(&format!("{name}.bias"))))
    }

    /// Layer norm over the last axis.
    pub(crate) fn norm<const D: usize>(&self, x: Tensor<D>, name: &str) -> Tensor<D> {
        let scale = self.weight::<1>(&format!("{name}.weight"));
        module::layer_norm(x, scale, Some(self.weight::<1>(&format!("{name}.bias"))), 1e-5)
    }

    /// Rows of the table `name` by id: (n, t) to (n, t, d).
    pub(crate) fn embedding(&self, name: &str, ids: Tensor<2, Int>) -> Tensor<3> {
        module::embedding(self.weight::<2>(name), ids)
    }

    /// Drops activations and scales up the rest; the masks follow from the tape's seed.
    pub(crate) fn dropout<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let Some((share, rng)) = &self.dropout else { return x };
        let shape = x.dims();
        let kept = 1.0 / (1.0 - share);
        // sixteen random bits an activation
        let cut = (share * 65_536.0) as u16;
        let mut rng = rng.borrow_mut();
        let mut mask = vec![0.0_f32; shape.iter().product()];
        for four in mask.chunks_mut(4) {
            let bits = rng.next_u64();
            for (i, m) in four.iter_mut().enumerate() {
                *m = if ((bits >> (16 * i)) as u16) < cut { 0.0 } else { kept };
            }
        }
        x * self.data(mask, shape)
    }

    /// The gradients of `loss` by every leaf that it depends on.
    pub(crate) fn gradients(&self, loss: &Tensor<1>) -> Gradients {
        let mut all = loss.backward();
        let of = |(name, (_, leaf)): (&String, &(Vec<usize>, Tensor<1>))| {
            leaf.grad_remove(&mut all).map(|g| (name.clone(), numbers(g)))
        };
        self.leaves.iter().filter_map(of).collect()
    }
}

/// A tensor's numbers, row-major.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("tensors are of 32-bit floats")
}

/// Attention of `query` (n, s, d) to `keys` (n, t, d), both projected; `bias` (n, 1, 1, t) is 0 where a key
/// is live and very negative where not.
pub(crate) fn attend(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    bias: Tensor<4>,
    heads: usize,
) -> Tensor<3> {
    let [n, s, d] = query.dims();
    let split = |x: Tensor<3>| {
        let [n, t, d] = x.dims();
        x.reshape([n, t, heads, d / heads]).swap_dims(1, 2)
    };
    let scale = 1.0 / ((d / heads) as f32).sqrt();
    let scores = split(query).mul_scalar(scale).matmul(split(key).swap_dims(2, 3)) + bias;
    activation::softmax(scores, 3).matmul(split(value)).swap_dims(1, 2).reshape([n, s, d])
}
