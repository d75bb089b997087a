# What a new user runs. Everything else is CMake: see CMakePresets.json.
#   make demo    install what is missing, build, show the run journey on data made on the spot
#   make test    install what is missing, build, run all tests

BUILD = build/release

.PHONY: all demo test install clean

all: $(BUILD)/build.ninja
	cmake --build $(BUILD)

$(BUILD)/build.ninja: CMakeLists.txt CMakePresets.json
	tools/install-deps.sh build
	cmake --preset release

demo: all
	tools/demo.sh $(BUILD)/espalier

test: all
	ctest --preset release

install: all
	cmake --install $(BUILD)

clean:
	rm -rf build
