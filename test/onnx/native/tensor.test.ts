/** Tensors over host memory: wrapped arrays, views at offsets, and what is refused. */
import t from 'tap'
import { hostTensor, wrapHost } from '../../../src/onnx/native/tensor.ts'
import { arithmeticModel, openCpu, runOnce } from '../../fixtures/native-models.ts'

t.test('a new tensor is zeros, aligned to a cache line', async (t) => {
  for (const shape of [[], [3], [5, 7], [0, 4]]) {
    const tensor = hostTensor('float32', shape)
    t.equal((tensor.place.block.address + BigInt(tensor.place.byteOffset)) % 64n, 0n)
    t.ok(tensor.data.every((value) => value === 0))
    t.equal(tensor.byteLength, tensor.size * 4)
    t.equal(tensor.where, 'host')
  }
})

t.test('views read and write the memory that they were cut from, at their place', async (t) => {
  const session = await openCpu(arithmeticModel())
  const memory = session.allocate('float32', [4, 4], 'device')
  memory.data.set(Array.from({ length: 16 }, (_, i) => i))
  const [x, twice] = [memory.view(4, [1, 4]), memory.view(12, [1, 4])]
  const square = memory.view(0, [2, 4]).view(0, [1, 4])
  await runOnce(session, { x }, { twice, square })
  t.strictSame([...memory.data], [16, 25, 36, 49, 4, 5, 6, 7, 8, 9, 10, 11, 8, 10, 12, 14])
  session.close()
})

t.test('a wrapped array is the tensor: small ones, and parts of larger ones', async (t) => {
  const session = await openCpu(arithmeticModel())
  const small = Float32Array.of(1, 2, 3, 4)
  const large = new Float32Array(1000)
  const [x, twice] = [wrapHost(small, 'float32', [1, 4]), wrapHost(large.subarray(501, 505), 'float32', [1, 4])]
  await runOnce(session, { x }, { twice })
  t.strictSame([...large.subarray(500, 506)], [0, 2, 4, 6, 8, 0])
  small.fill(10)
  await runOnce(session, { x }, { twice })
  t.strictSame([...large.subarray(500, 506)], [0, 20, 20, 20, 20, 0], 'what is written later is seen')
  session.close()
})

t.test('an empty array can be wrapped', async (t) => {
  const session = await openCpu(arithmeticModel())
  const nothing = wrapHost(new Float32Array(0), 'float32', [0, 4])
  await runOnce(session, { x: nothing }, { twice: session.allocate('float32', [0, 4], 'host') })
  t.equal(nothing.size, 0)
  session.close()
})

t.test('what does not fit is refused, with what was expected and what came', async (t) => {
  const tensor = hostTensor('float32', [2, 4])
  t.throws(() => tensor.view(5, [4]), { name: 'RangeError', message: /0\.\.8 of float32\[2, 4\], got 5\.\.9/ })
  t.throws(() => tensor.view(-1, [4]), { name: 'RangeError' })
  t.throws(() => tensor.view(0.5, [4]), { name: 'RangeError' })
  t.throws(() => hostTensor('float32', [2, -1]), { name: 'RangeError', message: /\[2, -1\]/ })
  t.throws(() => hostTensor('float32', [1.5]), { name: 'RangeError' })
  t.throws(() => wrapHost(new Float32Array(3), 'float32', [4]), { name: 'RangeError', message: /expected 4 .*got 3/ })
  const wrong: unknown = new Int32Array(4)
  t.throws(() => wrapHost(wrong as Float32Array, 'float32', [4]), { name: 'TypeError', message: /got Int32Array/ })
  const shared = new Float32Array(new SharedArrayBuffer(16))
  t.throws(() => wrapHost(shared, 'float32', [4]), { name: 'TypeError' })
})

t.test('a closed tensor and its views can no longer be used', async (t) => {
  const tensor = hostTensor('int32', [2, 4])
  const view = tensor.view(4, [4])
  view.close()
  t.equal(tensor.data.length, 8, 'closing a view does nothing')
  tensor.close()
  tensor.close()
  for (const use of [() => tensor.data, () => view.data, () => view.view(0, [1])]) {
    t.throws(use, { name: 'TypeError', message: /closed/ })
  }
})

t.test('an array whose memory was given away can no longer be used', async (t) => {
  const array = new Float32Array(4)
  const tensor = wrapHost(array, 'float32', [1, 4])
  structuredClone(array.buffer, { transfer: [array.buffer] })
  t.throws(() => tensor.data, { name: 'TypeError', message: /closed/ })
})
