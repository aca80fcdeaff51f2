// RTNeural's GRU, its sizes known to the compiler: SIZES is a list of SIZE(e, u). The backend is RTNeural's own macro.
#include <RTNeural/RTNeural.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace {

struct Steps {
    virtual ~Steps() = default;
    virtual void run(const float *X, std::ptrdiff_t frames, std::ptrdiff_t stride, std::ptrdiff_t turns, float *h) = 0;
};

std::vector<std::vector<float>> rows(const float *from, int count, int width) {
    std::vector<std::vector<float>> to;
    for (int i = 0; i < count; i++) to.emplace_back(from + i * width, from + (i + 1) * width);
    return to;
}

template <int e, int u> struct Layer final : Steps {
    RTNeural::ModelT<float, e, u, RTNeural::GRULayerT<float, e, u>> model;

    Layer(const float *W, const float *U, const float *b) {
        auto &layer = model.template get<0>();
        layer.setWVals(rows(W, e, 3 * u));
        layer.setUVals(rows(U, u, 3 * u));
        layer.setBVals(rows(b, 2, 3 * u));
        model.reset();
    }

    void run(const float *X, std::ptrdiff_t frames, std::ptrdiff_t stride, std::ptrdiff_t turns, float *h) override {
        for (std::ptrdiff_t turn = 0; turn < turns; turn++)
            for (std::ptrdiff_t i = 0; i < frames; i++) model.forward(X + i * stride);
        std::copy_n(model.getOutputs(), u, h);
    }
};

} // namespace

#define API extern "C" __attribute__((visibility("default")))

// W (e, 3u), U (u, 3u) and b (2, 3u), each the gates z, r, hh side by side. NULL where the size is not of the list.
API void *rtneural_new(int elements, int units, const float *W, const float *U, const float *b) {
#define SIZE(e, u) \
    if (elements == e && units == u) return static_cast<Steps *>(new Layer<e, u>(W, U, b));
    SIZES
    return nullptr;
}

API void rtneural_delete(void *steps) { delete static_cast<Steps *>(steps); }

// `turns` times through the frames, which lie `stride` numbers apart, aligned and padded with zeros as RTNeural asks;
// the state is carried on. h (u): the last output.
API void rtneural_steps(void *steps, const float *X, std::ptrdiff_t frames, std::ptrdiff_t stride, std::ptrdiff_t turns,
                        float *h) {
    static_cast<Steps *>(steps)->run(X, frames, stride, turns, h);
}

// What the backend computes with.
API const char *rtneural_backend() {
#if RTNEURAL_USE_EIGEN
    static const std::string name = "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." +
        std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION);
#else
    static const std::string name = "xsimd " + std::to_string(XSIMD_VERSION_MAJOR) + "." +
        std::to_string(XSIMD_VERSION_MINOR) + "." + std::to_string(XSIMD_VERSION_PATCH);
#endif
    return name.c_str();
}
