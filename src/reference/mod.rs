//! The plain implementation that everything else is judged by.
//!
//! It follows the definitions one by one and recomputes everything: no caches, no batches, no threads, and no code
//! shared with the backends, [`crate::model`] or [`crate::generate`]. [`Reference`] is generic over the number type
//! ([`Real`]): `f64` is the judge, `f32` shows what plain single precision gives, and `half::bf16` is the naive bf16
//! implementation whose error bounds what a fast bf16 kernel may have.
//!
//! # Indexes
//! `X_l` are the encoder's units of level `l` (`X_0` are the rows of the encoder embedding), `X̂_l` the decoder's
//! predictions of them; `X̂_0` are the rows that the LM head reads. Row `t` of the logits is the distribution of
//! token `t` given tokens `0..t`, so a text of `T` tokens has `T` rows, the first one given nothing. The code
//! counts levels from 1 as the paper does, and units, chunks and tokens from 0.
//!
//! # What the modes condition on
//! A meta-context is `C = C_1 · … · C_L` tokens. Chunk `g` of level `l` is decoded from a *conditioning latent*:
//! the top level takes `X_L[g-1]`; a lower level takes `X̂_l[g]` or, under
//! [`Condition::Previous`](crate::config::Condition), `X̂_l[g-1]`. Where there is no unit before, the learned start
//! latent of the level stands in. The rows fed back inside a chunk, its *content*, are at level 1 the embeddings of
//! its own tokens.
//!
//! * [`Mode::Exact`]: the content above level 1 is encoder states. The carry of
//!   `previous` (the last `X̂_l` of the meta-context before) is therefore also a teacher-forced one.
//! * [`Mode::HierGen`] (paper, Definition A.2): the content above level 1 is the decoder's own outputs, and so is the
//!   carry, over *all* meta-contexts before. The top level reads the encoder's units of the true tokens.
//! * [`Mode::RecGen`] (paper, Definition A.3): as HierGen for the meta-contexts of the prompt. From the prompt's
//!   end on the top-level unit of meta-context `m` is `F_L(…, chunk_L(X̂_{L-1}[m]))`, appended to the encoder's
//!   true units, so latents evolve without looking at the tokens. The carry goes on from own outputs. With `L = 1`
//!   there is no latent bottleneck: RecGen *is* HierGen.
//! * RecGen with `refresh = k`: after every `k`-th meta-context past the prompt the true units of those `k` replace
//!   the reconstructed ones. Only top-level units are replaced: the carry stays what the decoder put out. `k = 1`
//!   is HierGen.
//!
//! The distribution of a token is thus a pure function of the mode, of where the prompt ends, and of the tokens
//! before. [`Reference::generate`] uses that: it draws token after token, whatever could be drawn side by side. A
//! prompt of `T` tokens, `T` not a multiple of `C`, is completed to whole meta-contexts in exact mode (with exact's
//! own content and carry); the parallel mode takes over behind them as if all of them had been the prompt.
//!
//! A text whose length is no multiple of `C` is padded with token 0 and the padding's rows are dropped; the
//! model is causal, so the padding changes nothing.
//!
//! # The flat baseline
//! One stack over tokens, [`Mode::Exact`] only. It has no start latent, so the first token has no distribution of
//! its own: it gets the uniform one (logits of zero, log-probability `-ln V`), which keeps every text's probability
//! proper and an empty prompt meaningful.

mod model;
mod modes;
pub mod ops;
mod real;
pub mod sampler;
mod stack;
#[cfg(test)]
mod tests;

pub use model::Reference;
pub use modes::Mode;
pub use real::{Real, Wide};

/// Rows of a matrix or of a sequence: `[row][column]`.
pub type Rows<S> = Vec<Vec<S>>;
